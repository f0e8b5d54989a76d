// The shared memory behind oidc_state_zone: the key that is made at start, the
// states that were used, so that each serves one callback in all workers, and
// the documents of providers as they were received.
#pragma once

#include "core/crypto.h"
#include "core/result.h"
#include "ngx/ngx.h"
#include "oidc/schedule.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace ngx {

class Zone {
public:
    static constexpr std::size_t least_size = 64 * 1024;

    // Declares the zone to nginx; its content survives a reload. Null after a
    // failure that is logged.
    static Zone* add(ngx_conf_t* cf, std::size_t size);

    // 32 random bytes, made when the zone was.
    oidc::Secret key() const;

    enum class Taken { ours, busy, ended, abandoned };

    struct Taking {
        Taken taken;
        std::string left; // by the one who took the id before
    };

    // Takes an id until the time `until`. The oldest ids go when the zone is
    // full: the provider's codes and the expiry of states still stand.
    Taking take(std::string_view id, std::int64_t now, std::int64_t until);

    // Ends the taking of an id; `text` stays for 30 seconds for those who ask
    // for the same id, and may be empty.
    void leave(std::string_view id, std::string_view text, std::int64_t now);

    // The one who took the id will not come to an end.
    void abandon(std::string_view id);

    static constexpr std::size_t document_id_size = 16;

    // A document as all workers know it.
    struct Sight {
        oidc::Schedule schedule;
        ngx_uint_t serial = 0; // of the body; 0: there is none
        std::string body;      // only where the serial is not the known one
        bool is_asked = false; // somebody alive is asking for it
        std::optional<oidc::Error> failure; // of who asked last
    };

    Sight look(std::string_view id, ngx_uint_t known, std::int64_t now);

    enum class Asking { ours, others, vain };

    // Who is to ask for a document now, until that time or its answer; in vain
    // would be to ask so soon after the last time. `anew` where a usable one
    // is not good enough: as often as the schedule allows.
    Asking ask(
        std::string_view id, bool anew, std::int64_t now, std::int64_t until);

    // Ends the asking. The serial of the body, 0 where no room was left.
    ngx_uint_t answer(
        std::string_view id, std::string_view body, std::int64_t fresh_until);
    void fail(
        std::string_view id, const oidc::Error& failure, std::int64_t now);

    // Ends the asking without an answer.
    void release(std::string_view id);

private:
    struct Shared;
    struct Node;
    struct Document;

    static ngx_int_t init(ngx_shm_zone_t* zone, void* data);

    ngx_int_t create(ngx_shm_zone_t* zone);
    Node* find(std::string_view id);
    Node* insert(std::string_view id);
    void remove(Node* node);
    void forget_left(Node* node);
    void sweep(std::int64_t now);
    void* allocate(std::size_t size);

    Document* find_document(std::string_view id);
    Document* get_document(std::string_view id);
    void limit_documents();
    void remove(Document* document);

    ngx_slab_pool_t* pool_ = nullptr;
    Shared* shared_ = nullptr;
};

}
