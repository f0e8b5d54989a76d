#include "oidc/session_fields.h"

#include "core/fields.h"

namespace oidc {

std::optional<std::string_view> find_field(
    std::string_view fields, SessionTag tag)
{
    FieldReader reader(fields, session_version);
    while (auto field = reader.next()) {
        if (field->tag == tag) {
            return field->bytes;
        }
    }
    return {};
}

std::optional<SessionTimes> read_times(std::string_view fields)
{
    SessionTimes times{};
    FieldReader reader(fields, session_version);
    while (auto field = reader.next()) {
        switch (field->tag) {
        case tag_started:
            times.started = from_milliseconds(field->number());
            break;
        case tag_expires:
            times.sealed_end = from_seconds(field->number());
            break;
        case tag_renewed:
            times.renewed = from_seconds(field->number());
            break;
        case tag_seen:
            times.seen = from_seconds(field->number());
            break;
        case tag_auth_time:
            times.auth_time = from_seconds(field->number());
            break;
        case tag_access_expires:
            times.access_expires = from_seconds(field->number());
            break;
        }
    }
    return reader.complete() ? std::optional(times) : std::nullopt;
}

}
