#include "core/fields.h"
#include "fuzz.h"

namespace oidc::test {

FUZZ(fields)
{
    FieldReader reader(input);
    FieldWriter writer;
    while (auto field = reader.next()) {
        writer.text(field->tag, field->bytes);

        FieldWriter number;
        number.number(field->tag, field->number());
        auto bytes = number.take();
        auto again = FieldReader(bytes).next();
        demand(
            again && again->number() == field->number(), "a number survives");
    }
    demand(
        !reader.complete() || writer.take() == input, "written as it was read");
}

}
