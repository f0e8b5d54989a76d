// What may be done once only, by the ids of oidc_state_zone: whoever takes one
// first does it, and leaves what came of it to those who come after.
#include "ngx/zone_layout.h"

#include <algorithm>

namespace ngx {

Zone::Taking Zone::take(
    Purpose purpose, std::string_view id, std::int64_t now, std::int64_t until)
{
    std::string left;
    left.reserve(
        longest_left); // no allocation, which may throw, under the lock

    Lock lock(pool_);
    sweep(now);
    auto node = find(id);
    if (node != nullptr && node->is_orphan()) {
        node->state = Taken::abandoned;
    }
    if (node != nullptr && node->is_vacant(now)) {
        remove(node);
        node = nullptr;
    }
    if (node == nullptr) {
        node = insert(purpose, id);
        if (node != nullptr) { // else the provider stands guard
            node->until = until;
        }
        return {Taken::ours, {}};
    }
    if (now < node->left_until) {
        left.assign(view(node->left));
    }
    return {node->state, std::move(left)};
}

void Zone::leave(std::string_view id, std::string_view text, std::int64_t now,
    std::int64_t keep_seconds)
{
    Lock lock(pool_);
    auto node = find(id);
    if (node == nullptr || node->state != Taken::busy) {
        return;
    }
    node->state = Taken::ended;
    if (node->purpose != Purpose::login) {
        // A state stays used; a renewal that failed may be tried again.
        node->until = now + keep_seconds;
    }
    if (text.empty() || text.size() > longest_left) {
        return;
    }
    node->left_until = now + keep_seconds;
    node->until = std::max(node->until, node->left_until);

    // Out of the way of allocate(), which removes the oldest.
    ngx_queue_remove(&node->link);
    auto data = static_cast<u_char*>(allocate(text.size(), node->purpose));
    auto& takings = shared_->of(node->purpose);
    ngx_queue_insert_head(&takings.taken, &node->link);
    if (data != nullptr) {
        ngx_memcpy(data, text.data(), text.size());
        node->left = {text.size(), data};
        ngx_queue_insert_head(&takings.left, &node->left_link);
    }
}

void Zone::abandon(std::string_view id)
{
    Lock lock(pool_);
    auto node = find(id);
    // It may have expired, and be another worker's now.
    if (node == nullptr || node->state != Taken::busy ||
        node->owner != ngx_pid) {
        return;
    }
    node->state = Taken::abandoned;
}

Zone::Node* Zone::find(std::string_view id)
{
    auto key = str(id);
    auto hash = ngx_crc32_short(key.data, key.len);
    auto found = ngx_str_rbtree_lookup(&shared_->tree, &key, hash);
    // by_id is the first member
    return reinterpret_cast<Node*>(found);
}

Zone::Node* Zone::insert(Purpose purpose, std::string_view id)
{
    auto node = static_cast<Node*>(allocate(sizeof(Node) + id.size(), purpose));
    if (node == nullptr) {
        return nullptr;
    }
    ngx_memzero(node, sizeof(Node));
    node->owner = ngx_pid;
    node->purpose = purpose;
    node->state = Taken::busy;
    ngx_memcpy(node->id, id.data(), id.size());
    node->by_id.str = {id.size(), node->id};
    node->by_id.node.key = ngx_crc32_short(node->id, id.size());
    ngx_rbtree_insert(&shared_->tree, &node->by_id.node);
    ngx_queue_insert_head(&shared_->of(purpose).taken, &node->link);
    return node;
}

void Zone::remove(Node* node)
{
    ngx_queue_remove(&node->link);
    ngx_rbtree_delete(&shared_->tree, &node->by_id.node);
    forget_left(node);
    ngx_slab_free_locked(pool_, node);
}

void Zone::forget_left(Node* node)
{
    if (node->left.data != nullptr) {
        ngx_queue_remove(&node->left_link);
        ngx_slab_free_locked(pool_, node->left.data);
        ngx_str_null(&node->left);
    }
}

// Looks at the few oldest only, so that a request pays for about one other.
void Zone::sweep(std::int64_t now)
{
    for (auto& [taken, left] : shared_->takings) {
        for (int i = 0; i < 4 && !ngx_queue_empty(&left); i++) {
            auto oldest = ngx_queue_last(&left);
            auto node = ngx_queue_data(oldest, Node, left_link);
            if (now < node->left_until) {
                break;
            }
            forget_left(node);
        }
        for (int i = 0; i < 4 && !ngx_queue_empty(&taken); i++) {
            auto oldest = ngx_queue_last(&taken);
            auto node = ngx_queue_data(oldest, Node, link);
            if (now < node->until) {
                break;
            }
            remove(node);
        }
    }
    sweep_revocations(now);
}

// The oldest login; or, where not only those may go, the oldest of the others
// that is not under way.
Zone::Node* Zone::find_spare(Purpose from)
{
    auto& logins = shared_->of(Purpose::login).taken;
    if (!ngx_queue_empty(&logins)) {
        return ngx_queue_data(ngx_queue_last(&logins), Node, link);
    }
    if (from == Purpose::login) {
        return nullptr;
    }
    for (auto purpose : {Purpose::renewal, Purpose::logout}) {
        auto& queue = shared_->of(purpose).taken;
        for (auto link = ngx_queue_last(&queue);
             link != ngx_queue_sentinel(&queue); link = ngx_queue_prev(link)) {
            auto node = ngx_queue_data(link, Node, link);
            if (node->state != Taken::busy) {
                return node;
            }
        }
    }
    return nullptr;
}

}
