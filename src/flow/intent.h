// Whether a person wants what a browser asks for, as far as it says so.
#pragma once

#include "flow/step.h"

#include <string>

namespace oidc {

// Empty where a person goes somewhere, or the browser says nothing; else how it
// is asked, after "by" in a sentence (W3C Fetch Metadata, 2; Sec-Purpose of
// Fetch, and its older names).
std::string unasked_by(const RequestView& view);

// The same of a frame that another site shows.
bool is_in_foreign_frame(const RequestView& view);

}
