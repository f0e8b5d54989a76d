#include "jose/weakness.h"

#include "jose/jwk.h"

#include <algorithm>

namespace oidc {
namespace {

constexpr int max_exponent_bits = 256;

// RFC 8017, 3.1: odd, and at least 3. To the power of 1 a padded digest is its
// own signature, and an even exponent has no inverse. FIPS 186-5, A.1.1, and
// NIST SP 800-56B, 6.2, require more than 2^16, but 3 and 17 are in use, and
// are safe with paddings that are verified completely. The upper bound is from
// there, and keeps verification fast.
bool is_good_exponent(const BIGNUM* exponent)
{
    return BN_is_odd(exponent) && !BN_is_one(exponent) &&
        BN_num_bits(exponent) <= max_exponent_bits;
}

constexpr std::size_t point_size = 32;
constexpr unsigned char sign_bit = 0x80; // of the last byte: which of two x

// The y of all eight points whose order divides the cofactor, little-endian;
// and those plus the prime that fit into 255 bits, which OpenSSL decodes
// although RFC 8032, 5.1.3, does not allow it. Without its sign bit an encoding
// stands for a point and its negative, which has the same order.
constexpr unsigned char small_orders[][point_size] = {
    // 0: order 4
    {},
    // 1: the neutral point
    {0x01},
    // order 8
    {0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89,
        0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39,
        0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05},
    // order 8, the other two
    {0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76,
        0x0d, 0x10, 0x67, 0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6,
        0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a},
    // -1: order 2
    {0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f},
    // 0 plus the prime
    {0xed, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f},
    // 1 plus the prime
    {0xee, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f},
};

}

std::string rsa_weakness(const BIGNUM* modulus, const BIGNUM* exponent)
{
    auto bits = BN_num_bits(modulus);
    if (bits < min_rsa_bits || bits > max_rsa_bits) {
        return "with an RSA modulus of " + std::to_string(bits) + " bits";
    }
    if (!BN_is_odd(modulus)) {
        return "with an even RSA modulus";
    }
    return is_good_exponent(exponent) ?
        "" :
        "with an RSA exponent that is not an odd number from 3 to 2^256";
}

// Verification checks [S]B = R + [k]A (RFC 8032, 5.1.7). If A has an order of 8
// or less, [k]A is the neutral point for at least one text in eight, and any S
// with R = [S]B is a signature made without a secret.
bool has_small_order(std::string_view point)
{
    std::string y(point);
    y.back() = static_cast<char>(y.back() & ~sign_bit);
    return std::any_of(std::begin(small_orders), std::end(small_orders),
        [&](const auto& small) {
            return std::equal(bytes(y), bytes(y) + y.size(), std::begin(small),
                std::end(small));
        });
}

}
