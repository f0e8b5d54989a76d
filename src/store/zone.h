// The shared memory behind oidc_state_zone: the key that is made at start, what
// may be done once only in all workers, the documents of providers as they were
// received, the sessions that were ended before their time, and what each
// client may still cause.
#pragma once

#include "core/bucket.h"
#include "core/crypto.h"
#include "core/result.h"
#include "flow/step.h"
#include "ngx/ngx.h"
#include "ngx/shm_table.h"
#include "oidc/refetch.h"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace ngx {

class Zone {
public:
    static constexpr std::size_t min_size = 64 * 1024;
    static constexpr std::size_t key_size = ShmTable::key_size;

    // Declares the zone to nginx; its content survives a reload. Null after a
    // failure that is logged.
    static Zone* add(ngx_conf_t* cf, std::size_t size);

    // 32 random bytes, made when the zone was.
    oidc::Secret key() const;

    // A zone of another size is new memory. Once it is sure that the new
    // configuration runs, it takes the revocations of the zone before, whose
    // workers can revoke nothing from then on.
    void take_over();

    using Purpose = oidc::Purpose;
    enum class Standing : std::uint8_t { ours, busy, ended, abandoned };

    struct Acquisition {
        Standing standing;
        std::string result; // of who acquired the id before
    };

    // Acquires an id until the time `until`. What a worker that was killed had
    // acquired is ours, but for a login, which is abandoned: its code is spent.
    // When the zone is full the oldest logins go (the provider's codes and the
    // expiry of states still stand), and for anything but a login then also
    // what else has ended.
    Acquisition acquire(
        Purpose purpose, std::string_view id, Time now, Time until);

    static constexpr std::size_t max_result = 40 * 1024;

    // Ends what was acquired; the result stays that long for those
    // who ask for the same id, and may be empty. A longer one is not kept.
    void finish(
        std::string_view id, std::string_view result, Time now, Seconds keep);

    // Who has acquired the id will not come to an end. Others may acquire it
    // then, but for a login.
    void abandon(std::string_view id);

    static constexpr std::size_t document_id_size = key_size;

    // A document as all workers know it.
    struct Snapshot {
        oidc::Schedule schedule;
        ngx_uint_t serial = 0; // of the body; 0: there is none
        std::string body;      // only where the serial is not the known one
        bool is_asked = false; // somebody alive is asking for it
        std::optional<oidc::Error> failure; // of who asked last
    };

    Snapshot read(std::string_view id, ngx_uint_t known, Time now);

    enum class Asking { ours, others, too_soon };

    // Who is to ask for a document now, until that time or its answer. `anew`
    // where a usable one is not good enough: as often as the schedule allows
    // that kind of asker.
    Asking ask(std::string_view id, std::optional<oidc::Asker> anew, Time now,
        Time until);

    // Ends the asking. The serial of the body, 0 where no room was left.
    ngx_uint_t answer(
        std::string_view id, std::string_view body, Time fresh_until);
    void fail(std::string_view id, const oidc::Error& failure, Time now);

    // Ends the asking without an answer.
    void release(std::string_view id);

    // A note that sessions with this key have ended.
    struct Revocation {
        std::string_view key; // 16 bytes

        // Whose share of the zone it takes: the subject's own key, 16 bytes,
        // where it is known. Of one that is not proven, the client's address,
        // 1 to 16 bytes. Empty: nobody's.
        std::string_view owner;

        bool is_proven = true; // false: anybody could have asked for it
        TimeMs at{};           // sessions begun until then
        Time until{};          // when the record may go
    };

    // Records of a subject that are kept apart. A person ends a few sessions on
    // a few devices within the life of a session, with a record or two for
    // each; who ends more has ended all of them so far.
    static constexpr std::size_t max_records = 32;

    // What is there is moved on and never back. Proven records have three
    // quarters of the zone and stay; when a subject's share is full they become
    // one, of the subject's own key. The others have an eighth of it, an
    // address an eighth of that, and push out their own kind alone, first those
    // of the same address. False where there was no room: nobody may be told
    // that it is done.
    bool revoke(const Revocation& revocation, Time now);

    // Records of these keys have matched a session of that subject: they are
    // proven from now on, and take the subject's share.
    void pin(std::span<const std::string_view> keys, std::string_view subject,
        Time now);

    // The latest of the keys' times; TimeMs(): none of them is revoked. Takes
    // the lock only where a record is likely to be found.
    TimeMs revoked_at(std::span<const std::string_view> keys) const;
    bool has_revocations() const;

    // Takes a token from a client's bucket, or gives one back: the client is
    // named by 16 bytes, and the same one only ever asks for one rate. There
    // are buckets for a sixteenth of the zone's records; then who was here
    // longest ago has a full one again.
    bool take_token(std::string_view client, oidc::Rate rate, TimeUs now);
    void refund_token(std::string_view client, Microseconds cost);

    static constexpr std::size_t max_buckets_part = 16;

private:
    struct Shared;
    struct Document;
    struct Times;

    using Index = ShmTable::Index;
    using Change = ShmTable::Change;
    using Record = ShmTable::Record;

    static ngx_int_t init(ngx_shm_zone_t* zone, void* data);

    ngx_int_t create(ngx_shm_zone_t* zone);
    bool make_room(
        Change& change, std::size_t size, Purpose from, Index kept = 0);
    void drop(Change& change, std::uint8_t space, std::string_view key);
    void sweep(Change& change, Time now);

    Index find_spare(Purpose from, Index kept) const;
    void remove_once(Change& change, Index index);

    Index get_document(Change& change, std::string_view id);
    Document document(Index index) const;
    void set_document(Change& change, Index index, const Document& document);
    std::uint64_t replace_body(
        Change& change, std::string_view id, std::string_view body);
    void forget_body(Change& change, std::string_view id, Index body);

    bool add(Change& change, const Revocation& revocation);
    bool insert(Change& change, const Revocation& revocation);
    void raise(Change& change, Index index, const Times& times);
    bool prove(Change& change, Index index, std::string_view subject);
    bool collapse(Change& change, std::string_view subject, Times times);
    void limit_unproven(Change& change, std::string_view owner);
    bool has_full_share(std::string_view subject) const;
    bool has_full_records() const;
    Times times_of(Index index) const;

    oidc::Bucket bucket(Index index) const;
    void set_bucket(
        Change& change, Index index, const oidc::Bucket& bucket, Time until);
    void add_bucket(Change& change, std::string_view client,
        const oidc::Bucket& bucket, Time until);

    void inherit(Change& change, const Zone& before);

    ngx_slab_pool_t* pool_ = nullptr;
    Shared* shared_ = nullptr;
    ShmTable table_;
    Zone* before_ = nullptr; // of another size, until take_over()
};

}
