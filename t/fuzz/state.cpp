#include "browser.h"
#include "core/encoding.h"
#include "core/url.h"
#include "flow/login.h"
#include "fuzz.h"
#include "oidc/authorize.h"
#include "support/play.h"

namespace oidc::test {
namespace {

std::string sealed(const Transaction& transaction)
{
    return seal_state(example_provider(), transaction, "binding", fixed_bytes)
        .state;
}

const std::string& genuine()
{
    static const std::string state = sealed({"0123456789abcdef", noon, "abcd",
        "digest of it", "https://app.example", "/page?a=b", false, "receipt"});
    return state;
}

bool operator==(const Transaction& a, const Transaction& b)
{
    return sealed(a) == sealed(b);
}

}

// The state of a callback.
FUZZ(state)
{
    auto opened = open_state(example_provider(), input);
    demand(!opened || input == genuine(), "what opens was sealed");
}

// The sealed content, as another version of the module might have written it.
FUZZ(sealed_state)
{
    const auto& provider = example_provider();
    auto state = base64url(provider.state_ring().seal(
        input, provider.state_seal_context(), fixed_bytes));
    auto opened = open_state(provider, state);
    if (!opened) {
        return;
    }
    const auto& transaction = opened->transaction;
    auto again = open_state(provider, sealed(transaction));
    demand(
        again && again->transaction == transaction, "sealed and opened again");

    RequestView view;
    auto login = Login::of(provider, view, transaction);
    if (succeeds(login)) {
        auto page = parse_url(transaction.page);
        auto location = login->return_location(transaction);
        demand(is_clean(location), "fit for a header");
        demand(host_reached(location, page->host) == page->host,
            "goes back to the page's origin");
    }
}

}
