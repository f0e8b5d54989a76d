// Tokens encrypted to the client as a provider would do it, with the library
// that other providers use, too.
#pragma once

#include "jose/private_key.h"
#include "support/signer.h"

#include <cjose/cjose.h>
#include <gtest/gtest.h>

#include <string>

namespace oidc::test {

inline std::string encrypted(
    const char* alg, const std::string& jwk, const std::string& plain)
{
    cjose_err error{};
    auto key = cjose_jwk_import(jwk.data(), jwk.size(), &error);
    auto header = cjose_header_new(&error);
    cjose_header_set(header, "alg", alg, &error);
    cjose_header_set(header, "enc", "A256GCM", &error);
    cjose_header_set(header, "cty", "JWT", &error);
    auto jwe = cjose_jwe_encrypt(key, header,
        reinterpret_cast<const unsigned char*>(plain.data()), plain.size(),
        &error);
    auto text = jwe != nullptr ? cjose_jwe_export(jwe, &error) : nullptr;
    EXPECT_NE(text, nullptr) << (error.message ? error.message : "");
    std::string compact = text != nullptr ? text : "";
    cjose_get_dealloc()(text);
    cjose_jwe_release(jwe);
    cjose_header_release(header);
    cjose_jwk_release(key);
    return compact;
}

inline PrivateKey key_of(const Signer& signer)
{
    std::string why;
    auto key = PrivateKey::parse(signer.pem(), why);
    EXPECT_TRUE(key) << why;
    return *key;
}

}
