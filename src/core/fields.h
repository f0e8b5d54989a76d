// The payload of a seal: a version byte and tagged binary fields. Reading it
// parses no JSON and copies nothing.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace oidc {

// version (1), then for each field tag (1), length (3, big endian), bytes
class FieldWriter {
public:
    explicit FieldWriter(char version = 1) : bytes_(1, version) {}

    void text(unsigned char tag, std::string_view bytes)
    {
        bytes_ += static_cast<char>(tag);
        for (int shift = 16; shift >= 0; shift -= 8) {
            bytes_ += static_cast<char>(bytes.size() >> shift);
        }
        bytes_ += bytes;
    }

    void number(unsigned char tag, std::int64_t number)
    {
        char bytes[8];
        for (int i = 0; i < 8; i++) {
            bytes[i] = static_cast<char>(number >> (56 - 8 * i));
        }
        text(tag, {bytes, sizeof(bytes)});
    }

    std::string take() { return std::move(bytes_); }

private:
    std::string bytes_;
};

class FieldReader {
public:
    struct Field {
        unsigned char tag;
        std::string_view bytes;

        // 0 unless the field holds a number
        std::int64_t number() const
        {
            std::uint64_t number = 0;
            for (char c : bytes.substr(0, bytes.size() == 8 ? 8 : 0)) {
                number = number << 8 | static_cast<unsigned char>(c);
            }
            return static_cast<std::int64_t>(number);
        }
    };

    // Accepts versions from 1 to `newest`.
    explicit FieldReader(std::string_view bytes, char newest = 1) :
        rest_(bytes.substr(bytes.empty() ? 0 : 1)),
        good_(!bytes.empty() && bytes.front() >= 1 && bytes.front() <= newest)
    {
    }

    // Nothing at the end, or at the first malformed field.
    std::optional<Field> next()
    {
        if (rest_.empty() || !good_) {
            return {};
        }
        good_ = rest_.size() >= head;
        if (!good_) {
            return {};
        }
        auto size = byte(1) << 16 | byte(2) << 8 | byte(3);
        good_ = rest_.size() - head >= size;
        if (!good_) {
            return {};
        }
        Field field{
            static_cast<unsigned char>(byte(0)), rest_.substr(head, size)};
        rest_.remove_prefix(head + size);
        return field;
    }

    bool complete() const { return good_ && rest_.empty(); }

private:
    static constexpr std::size_t head = 4;

    std::size_t byte(std::size_t i) const
    {
        return static_cast<unsigned char>(rest_[i]);
    }

    std::string_view rest_;
    bool good_;
};

}
