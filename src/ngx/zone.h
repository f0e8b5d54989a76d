// The shared memory behind oidc_state_zone: the key that is made at start, what
// may be done once only in all workers, the documents of providers as they were
// received, and the sessions that were ended before their time.
#pragma once

#include "core/crypto.h"
#include "core/result.h"
#include "flow/step.h"
#include "ngx/ngx.h"
#include "oidc/schedule.h"

#include <cstdint>
#include <optional>
#include <span>
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

    using Purpose = oidc::Purpose;
    enum class Taken : std::uint8_t { ours, busy, ended, abandoned };

    struct Taking {
        Taken taken;
        std::string left; // by the one who took the id before
    };

    // Takes an id until the time `until`. What a worker that was killed had
    // taken is ours, but for a login, which is abandoned: its code is spent.
    // When the zone is full the oldest logins go (the provider's codes and the
    // expiry of states still stand), and for anything but a login then also
    // what else has ended.
    Taking take(Purpose purpose, std::string_view id, std::int64_t now,
        std::int64_t until);

    static constexpr std::size_t longest_left = 40 * 1024;

    // Ends the taking of an id; `text` stays for so many seconds for those who
    // ask for the same id, and may be empty. A longer one is not kept.
    void leave(std::string_view id, std::string_view text, std::int64_t now,
        std::int64_t keep_seconds);

    // The one who took the id will not come to an end. Others may take it
    // then, but for a login.
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

    static constexpr std::size_t revocation_size = 16; // bytes of a key

    // Ends every session of that key, a digest, begun until `at` (in ms since
    // the epoch); the record is kept until `until` (in s), and moved on where
    // there is one. Those that anybody can ask for have an eighth of the zone,
    // and push out only their own kind; the others have three quarters, and
    // stay. False where there was no room: nobody may be told that it is done.
    bool revoke(std::string_view key, std::int64_t at, std::int64_t until,
        std::int64_t now, bool asked_by_anyone);

    // The latest of the keys' times, in ms; 0: none of them is revoked. Takes
    // the lock only where a record is likely to be found.
    std::int64_t revoked_at(std::span<const std::string_view> keys) const;
    bool has_revocations() const;

private:
    struct Shared;
    struct Node;
    struct Document;
    struct Revocation;

    static ngx_int_t init(ngx_shm_zone_t* zone, void* data);

    ngx_int_t create(ngx_shm_zone_t* zone);
    void* allocate(std::size_t size, Purpose from);

    Node* find(std::string_view id);
    Node* insert(Purpose purpose, std::string_view id);
    void remove(Node* node);
    void forget_left(Node* node);
    void sweep(std::int64_t now);
    Node* find_spare(Purpose from);

    Document* find_document(std::string_view id);
    Document* get_document(std::string_view id);
    void limit_documents();
    void remove(Document* document);

    ngx_int_t create_revocations(std::size_t size);
    Revocation* find_revocation(std::string_view key) const;
    Revocation* add_revocation(std::string_view key, bool asked_by_anyone);
    bool establish(Revocation* record);
    void remove(Revocation* record);
    void sweep_revocations(std::int64_t now);

    ngx_slab_pool_t* pool_ = nullptr;
    Shared* shared_ = nullptr;
};

}
