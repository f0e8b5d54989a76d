// How the memory of oidc_state_zone is laid out, for the parts of Zone, which
// are a source file each.
#pragma once

#include "ngx/shm.h"
#include "ngx/zone.h"

#include <atomic>

namespace ngx {

// Changes of its layout need a new version, which ends what an older one left.
struct Zone::Shared {
    static constexpr ngx_uint_t current = 3;
    static constexpr std::size_t key_size = 32;
    static constexpr std::size_t purposes = 3;

    struct Takings {
        ngx_queue_t taken; // newest first
        ngx_queue_t left;  // those of them with a text, newest first
    };

    struct Revocations {
        ngx_queue_t queue; // last looked at first
        ngx_uint_t count;
        ngx_uint_t most;
    };

    ngx_uint_t version;
    u_char key[key_size];

    ngx_rbtree_t tree; // of all that is taken
    ngx_rbtree_node_t sentinel;
    Takings takings[purposes];

    ngx_queue_t documents; // last used first
    ngx_uint_t count;      // of documents
    ngx_uint_t serial;     // last one given

    std::atomic<ngx_uint_t> revocations; // all of them
    Revocations kinds[2];                // the second: asked by anyone
    std::atomic<Revocation*>* buckets;
    ngx_uint_t bucket_count;

    Takings& of(Purpose purpose)
    {
        return takings[static_cast<std::size_t>(purpose)];
    }

    std::atomic<Revocation*>& bucket(std::string_view key)
    {
        std::uint64_t hash; // of the key, which is a digest itself
        ngx_memcpy(&hash, key.data(), sizeof(hash));
        return buckets[hash % bucket_count];
    }
};

struct Zone::Node {
    ngx_str_node_t by_id;
    ngx_queue_t link;
    ngx_queue_t left_link; // while there is a text
    std::int64_t until;
    std::int64_t left_until;
    ngx_pid_t owner;
    Purpose purpose;
    Taken state;
    ngx_str_t left;
    u_char id[1];

    // Its owner was killed before it came to an end.
    bool is_orphan() const { return state == Taken::busy && !is_alive(owner); }

    // A login is not tried again: its code is spent.
    bool is_vacant(std::int64_t now) const
    {
        return now >= until ||
            (state == Taken::abandoned && purpose != Purpose::login);
    }
};

struct Zone::Document {
    static constexpr std::size_t longest_detail = 256;

    ngx_queue_t link;
    u_char id[document_id_size];
    oidc::Schedule schedule;
    ngx_uint_t serial;
    ngx_str_t body;

    ngx_pid_t asker; // 0: nobody
    std::int64_t asked_until;

    bool has_failed;
    oidc::Errc code;
    ngx_uint_t detail_size;
    char detail[longest_detail];

    bool is_asked(std::int64_t now) const
    {
        return asker != 0 && now < asked_until && is_alive(asker);
    }
};

struct Zone::Revocation {
    Revocation* next; // in the bucket
    ngx_queue_t link;
    std::int64_t at;    // ms
    std::int64_t until; // s
    u_char key[revocation_size];
    bool asked_by_anyone;

    bool is(std::string_view other) const
    {
        return ngx_memcmp(key, other.data(), revocation_size) == 0;
    }
};

}
