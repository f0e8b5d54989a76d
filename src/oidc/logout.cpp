#include "oidc/logout.h"

#include "core/encoding.h"
#include "oidc/errors.h"
#include "oidc/token.h"

namespace oidc {
namespace {

void append_unless_empty(
    std::string& form, std::string_view name, std::string_view value)
{
    if (!value.empty()) {
        append_parameter(form, name, value);
    }
}

}

std::string end_session_url(const Metadata& metadata, const Client& client,
    const EndSession& end_session)
{
    std::string query;

    append_parameter(query, "client_id", client.client_id);
    append_unless_empty(query, "id_token_hint", end_session.id_token_hint);
    append_unless_empty(query, "post_logout_redirect_uri",
        end_session.post_logout_redirect_uri);
    append_unless_empty(query, "state", end_session.state);
    return with_parameters(metadata.end_session_endpoint, query);
}

HttpRequest revocation_request(
    const Metadata& metadata, std::string_view token, std::string_view hint)
{
    HttpRequest request;
    request.url = metadata.revocation_endpoint;

    append_parameter(request.body, "token", token);
    append_unless_empty(request.body, "token_type_hint", hint);
    return request;
}

Check judge_revocation(const HttpResponse& response)
{
    if (response.status == 200) { // RFC 7009, 2.2: whatever the body is
        return Ok{};
    }
    if (auto refused = refusal(response)) {
        return std::move(*refused);
    }
    return Error{Errc::upstream_status,
        "provider returned status " + std::to_string(response.status)};
}

}
