#include "oidc/state.h"

#include "core/encoding.h"
#include "core/fields.h"

namespace oidc {
namespace {

constexpr std::size_t derived_size = 32;

enum Tag : unsigned char {
    tag_id = 1,
    tag_started,
    tag_attempt, // of earlier versions
    tag_browser,
    tag_browser_digest,
    tag_page,
    tag_target,
    tag_target_elsewhere,
    tag_receipt,
};

std::string encode(const Transaction& transaction)
{
    FieldWriter fields;
    fields.text(tag_id, transaction.id);
    fields.number(tag_started, to_seconds(transaction.started));
    fields.text(tag_browser, transaction.browser);
    fields.text(tag_browser_digest, transaction.browser_digest);
    fields.text(tag_page, transaction.page);
    fields.text(tag_target, transaction.target);
    fields.number(tag_target_elsewhere, transaction.target_elsewhere);
    fields.text(tag_receipt, transaction.receipt);
    return fields.take();
}

std::optional<Transaction> decode(std::string_view bytes)
{
    Transaction transaction;
    FieldReader fields(bytes);

    while (auto field = fields.next()) {
        switch (field->tag) {
        case tag_id:
            transaction.id = field->bytes;
            break;
        case tag_started:
            transaction.started = from_seconds(field->number());
            break;
        case tag_browser:
            transaction.browser = field->bytes;
            break;
        case tag_browser_digest:
            transaction.browser_digest = field->bytes;
            break;
        case tag_page:
            transaction.page = field->bytes;
            break;
        case tag_target:
            transaction.target = field->bytes;
            break;
        case tag_target_elsewhere:
            transaction.target_elsewhere = field->number() != 0;
            break;
        case tag_receipt:
            transaction.receipt = field->bytes;
            break;
        }
    }
    if (!fields.complete()) {
        return {};
    }
    return transaction;
}

Derived derive(const Provider& provider, std::size_t key,
    std::string_view transaction_id, std::string_view login_cookie)
{
    auto value = [&](std::string_view purpose) {
        return base64url(provider.state_ring().derive(key,
            bind_fields({purpose, provider.state_seal_context(), login_cookie,
                transaction_id}),
            derived_size));
    };
    return {value("nonce"), value("pkce verifier")};
}

}

std::string login_cookie_digest(std::string_view value)
{
    return digest(Hash::sha256, value).substr(0, 16);
}

SealedState seal_state(const Provider& provider, const Transaction& transaction,
    std::string_view login_cookie, Random random)
{
    auto sealed = provider.state_ring().seal(
        encode(transaction), provider.state_seal_context(), random);
    return {
        base64url(sealed), derive(provider, 0, transaction.id, login_cookie)};
}

std::optional<OpenedState> open_state(
    const Provider& provider, std::string_view state)
{
    auto sealed = base64url_decode(state);
    if (!sealed) {
        return {};
    }
    auto opened =
        provider.state_ring().open(*sealed, provider.state_seal_context());
    if (!opened) {
        return {};
    }
    auto transaction = decode(opened->plain);
    if (!transaction) {
        return {};
    }
    return OpenedState{std::move(*transaction), opened->key};
}

bool is_of_other_keys(const Provider& provider, std::string_view state)
{
    auto sealed = base64url_decode(state);
    return sealed && provider.state_ring().is_foreign(*sealed);
}

Derived derive(const Provider& provider, const OpenedState& state,
    std::string_view login_cookie)
{
    return derive(provider, state.key, state.transaction.id, login_cookie);
}

}
