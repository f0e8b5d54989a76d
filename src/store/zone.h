// The shared memory of oidc_state_zone: the key that is made at start, locks,
// the documents of providers as they were received, revocation records, and the
// rate limits of clients.
#pragma once

#include "core/bucket.h"
#include "core/crypto.h"
#include "core/result.h"
#include "flow/step.h"
#include "ngx/ngx.h"
#include "ngx/shm_table.h"
#include "oidc/refetch.h"
#include "store/store.h"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace ngx {

struct ZoneHeader;
struct DocumentState;
struct RevocationTimes;

class Zone {
public:
    static constexpr std::size_t min_size = 64 * 1024;
    static constexpr std::size_t key_size = ShmTable::key_size;

    // Declares the zone to nginx. Its content survives a reload. Null after a
    // failure that is logged.
    static Zone* add(ngx_conf_t* cf, std::size_t size);

    // 32 random bytes, made with the zone.
    oidc::Secret key() const;

    // To be called once nothing can refuse the new configuration any more. A
    // zone of another size than before is new memory: copies the revocations of
    // the old one, which accepts no more of them.
    void take_over();

    using Purpose = oidc::Purpose;

    // Acquires the lock of an id until a time. The lock of a killed worker is
    // acquired, but that of a login is abandoned: its code is used. When the
    // zone is full, the oldest logins are evicted (the provider's codes and the
    // expiry of states still protect), and for other purposes then also ended
    // locks of these.
    Acquisition acquire(
        Purpose purpose, std::string_view id, Time now, Time until);

    static constexpr std::size_t max_result = 40 * 1024;

    // Releases a lock. The result, which may be empty, stays for `keep`, for
    // those who acquire the same id; a result longer than max_result does not.
    void finish(
        std::string_view id, std::string_view result, Time now, Seconds keep);

    // Releases a lock without a result. It can be acquired again, but not for a
    // login.
    void abandon(std::string_view id);

    static constexpr std::size_t document_id_size = key_size;

    // A document as all workers know it.
    struct Snapshot {
        oidc::Schedule schedule;
        ngx_uint_t serial = 0;    // of the body; 0: there is none
        std::string body;         // only where the serial is not `known`
        bool is_fetching = false; // by a worker that is alive
        std::optional<oidc::Error> failure; // of the last fetch
    };

    Snapshot read(std::string_view id, ngx_uint_t known, Time now);

    enum class Fetcher { ours, others, too_soon };

    // Decides who fetches a document, and until when at most. With `newer` a
    // usable document is not enough: it is fetched as often as the schedule
    // allows for that kind of request.
    Fetcher begin_fetch(std::string_view id, std::optional<oidc::Asker> newer,
        Time now, Time until);

    // Each of these ends a fetch: with a body, whose serial is returned, or 0
    // where there was no room; with a failure; or with neither.
    ngx_uint_t succeed(
        std::string_view id, std::string_view body, Time fresh_until);
    void fail(std::string_view id, const oidc::Error& failure, Time now);
    void release(std::string_view id);

    struct Revocation {
        std::string_view key; // 16 bytes

        // Whose share of the zone the record takes: the subject's own key, 16
        // bytes, where it is known; for one that is not proven the client's
        // address, 1 to 16 bytes. Empty: no share.
        std::string_view owner;

        bool is_proven = true; // false: anybody can cause it
        TimeMs at{};           // sessions begun until then are revoked
        Time until{};          // when the record may go
    };

    // Separate records of a subject. A user ends a few sessions on a few
    // devices within the life of a session, with one or two records for each;
    // beyond that all sessions of the user so far are revoked.
    static constexpr std::size_t max_records = 32;

    // Adds a record, or moves the times of one later. Proven records take up to
    // three quarters of the zone and are not evicted; when a subject's share is
    // full, they become one, of the subject's own key. The others take up to an
    // eighth, each address an eighth of that, and evict only records of their
    // kind, those of the same address first. False where there was no room: the
    // logout must not be confirmed.
    bool revoke(const Revocation& revocation, Time now);

    // The records of these keys have matched a session of that subject: they
    // become proven, and take the subject's share.
    void pin(std::span<const std::string_view> keys, std::string_view subject,
        Time now);

    // The latest time of the keys' records; TimeMs(): none of the keys is
    // revoked. Takes the lock only where there is likely to be a record.
    TimeMs revoked_at(std::span<const std::string_view> keys) const;
    bool has_revocations() const;

    // Takes a token from a client's bucket, or refunds one. The client is named
    // by 16 bytes, and always comes with the same rate. Buckets take up to a
    // sixteenth of the zone; beyond that the bucket that was not used for
    // longest is full again.
    bool take_token(std::string_view client, oidc::Rate rate, TimeUs now);
    void refund_token(std::string_view client, Microseconds cost);

    static constexpr std::size_t max_buckets_part = 16;

private:
    using Index = ShmTable::Index;
    using Change = ShmTable::Change;

    static ngx_int_t init(ngx_shm_zone_t* zone, void* data);

    ngx_int_t create(ngx_shm_zone_t* zone);
    bool make_room(
        Change& change, std::size_t size, Purpose from, Index kept = 0);
    void drop(Change& change, std::uint8_t space, std::string_view key);
    void sweep(Change& change, Time now);

    Index find_spare(Purpose from, Index kept) const;
    void remove_once(Change& change, Index index);

    Index get_document(Change& change, std::string_view id);
    std::uint64_t replace_body(
        Change& change, std::string_view id, std::string_view body);
    void forget_body(Change& change, std::string_view id, Index body);

    bool add(Change& change, const Revocation& revocation);
    bool insert(Change& change, const Revocation& revocation);
    void raise(Change& change, Index index, const RevocationTimes& times);
    bool prove(Change& change, Index index, std::string_view subject);
    bool collapse(
        Change& change, std::string_view subject, RevocationTimes times);
    void limit_unproven(Change& change, std::string_view owner);
    bool has_full_share(std::string_view subject) const;
    bool has_full_records() const;
    RevocationTimes times_of(Index index) const;

    void set_bucket(
        Change& change, Index index, const oidc::Bucket& bucket, Time until);
    void add_bucket(Change& change, std::string_view client,
        const oidc::Bucket& bucket, Time until);

    void inherit(Change& change, const Zone& before);

    ngx_slab_pool_t* pool_ = nullptr;
    ZoneHeader* header_ = nullptr;
    ShmTable table_;
    Zone* before_ = nullptr; // of another size, until take_over()
};

}
