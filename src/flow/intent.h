// Whether the user wanted a request, as far as the browser tells.
#pragma once

#include "flow/step.h"

#include <string>

namespace oidc {

// Empty for a navigation, and where the browser tells nothing; else what caused
// the request, after "in" in a sentence (W3C Fetch Metadata, 2; Sec-Purpose of
// Fetch, and its older names).
std::string cause_other_than_user(const RequestView& view);

// True for a page in a frame of another site.
bool is_in_foreign_frame(const RequestView& view);

}
