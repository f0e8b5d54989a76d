#include "oidc/ticket.h"

#include "core/fields.h"

namespace oidc {
namespace {

constexpr std::size_t id_size = 16;
constexpr std::size_t max_revocation_keys = 3;

// Different from all tags of a session, so that neither is read as the other.
enum Tag : unsigned char { tag_id = 64, tag_secret, tag_revocation_key };

}

Ticket Ticket::make(std::vector<std::string> revocation_keys, Random random)
{
    Ticket ticket;
    ticket.id_ = random(id_size);
    ticket.secret_ = Secret(random(KeyRing::master_size));
    ticket.revocation_keys_ = std::move(revocation_keys);
    return ticket;
}

Ticket Ticket::with(std::vector<std::string> revocation_keys) const
{
    auto ticket = *this;
    ticket.revocation_keys_ = std::move(revocation_keys);
    return ticket;
}

std::optional<Ticket> Ticket::read(std::string_view text)
{
    Ticket ticket;
    FieldReader fields(text);
    while (auto field = fields.next()) {
        switch (field->tag) {
        case tag_id:
            ticket.id_ = field->bytes;
            break;
        case tag_secret:
            ticket.secret_ = Secret(std::string(field->bytes));
            break;
        case tag_revocation_key:
            ticket.revocation_keys_.emplace_back(field->bytes);
            break;
        default:
            return {}; // usually a session
        }
    }
    if (!fields.complete() || ticket.id_.size() != id_size ||
        ticket.secret_.reveal().size() != KeyRing::master_size ||
        ticket.revocation_keys_.size() > max_revocation_keys) {
        return {};
    }
    return ticket;
}

std::string Ticket::fields() const
{
    FieldWriter fields;
    fields.text(tag_id, id_);
    fields.text(tag_secret, secret_.reveal());
    for (const auto& key : revocation_keys_) {
        fields.text(tag_revocation_key, key);
    }
    return fields.take();
}

std::string Ticket::key() const
{
    return digest(Hash::sha256, bind_fields({"ticket", id_}))
        .substr(0, key_size);
}

std::string Ticket::seal(
    std::string_view plain, std::string_view seal_context, Random random) const
{
    return ring().seal(plain, seal_context, random);
}

std::optional<std::string> Ticket::open(
    std::string_view blob, std::string_view seal_context) const
{
    auto opened = ring().open(blob, seal_context);
    return opened ? std::optional(std::move(opened->plain)) : std::nullopt;
}

KeyRing Ticket::ring() const
{
    return KeyRing({&secret_, 1}, "stored session");
}

}
