// A failure as one string, so that a test compares code and sentence together.
#pragma once

#include "core/result.h"
#include "oidc/errors.h"

#include <string>

namespace oidc::test {

inline std::string complaint(const Error& error)
{
    return std::string(fault(error.code).word) + ": " + error.detail;
}

// Empty on success.
template <class T>
std::string complaint(const Result<T>& result)
{
    return result ? "" : complaint(result.error());
}

}
