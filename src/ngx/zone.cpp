#include "ngx/zone.h"

#include <csignal>

namespace ngx {
namespace {

constexpr std::size_t key_size = 32;
constexpr std::int64_t keep_left = 30; // seconds
constexpr std::size_t longest_detail = 256;
constexpr std::size_t most_documents = 256;

ngx_str_t zone_name = ngx_string("ngx_http_oidc_state");

class Lock {
public:
    explicit Lock(ngx_slab_pool_t* pool) : pool_(pool)
    {
        ngx_shmtx_lock(&pool_->mutex);
    }
    ~Lock() { ngx_shmtx_unlock(&pool_->mutex); }
    Lock(const Lock&) = delete;
    Lock& operator=(const Lock&) = delete;

private:
    ngx_slab_pool_t* pool_;
};

// The zone of that name in a cycle that has run, unless it is `other`.
ngx_shm_zone_t* find_zone(ngx_cycle_t* cycle, const ngx_shm_zone_t* other)
{
    auto part = &cycle->shared_memory.part;
    for (; part != nullptr; part = part->next) {
        auto zones = static_cast<ngx_shm_zone_t*>(part->elts);
        for (ngx_uint_t i = 0; i < part->nelts; i++) {
            if (zones[i].tag == other->tag && zones[i].data != nullptr &&
                &zones[i] != other) {
                return &zones[i];
            }
        }
    }
    return nullptr;
}

ngx_str_t str(std::string_view s)
{
    return {s.size(), reinterpret_cast<u_char*>(const_cast<char*>(s.data()))};
}

}

// Changes of its layout need a new version, which ends what an older one left.
struct Zone::Shared {
    static constexpr ngx_uint_t current = 2;

    ngx_uint_t version;
    u_char key[key_size];
    ngx_rbtree_t tree;
    ngx_rbtree_node_t sentinel;
    ngx_queue_t taken;     // newest first
    ngx_queue_t left;      // those of them with a text, newest first
    ngx_queue_t documents; // last used first
    ngx_uint_t count;      // of documents
    ngx_uint_t serial;     // last one given
};

struct Zone::Node {
    ngx_str_node_t by_id;
    ngx_queue_t link;
    ngx_queue_t left_link; // while there is a text
    std::int64_t until;
    std::int64_t left_at;
    Taken state;
    ngx_str_t left;
    u_char id[1];
};

struct Zone::Document {
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
        // A worker that was killed asks no more.
        return asker != 0 && now < asked_until &&
            (asker == ngx_pid || kill(asker, 0) == 0 || errno != ESRCH);
    }
};

Zone* Zone::add(ngx_conf_t* cf, std::size_t size)
{
    auto zone =
        ngx_shared_memory_add(cf, &zone_name, size, &ngx_http_oidc_module);
    if (zone == nullptr) {
        return nullptr;
    }
    auto self = make<Zone>(cf->pool);
    zone->init = init;
    zone->data = self;
    return self;
}

ngx_int_t Zone::init(ngx_shm_zone_t* zone, void* data)
{
    auto self = static_cast<Zone*>(zone->data);
    self->pool_ = reinterpret_cast<ngx_slab_pool_t*>(zone->shm.addr);

    // data is the Zone of the cycle before, whose memory this is.
    if (data != nullptr || zone->shm.exists) {
        self->shared_ = static_cast<Shared*>(self->pool_->data);
        if (self->shared_->version == Shared::current) {
            return NGX_OK;
        }
    }
    return self->create(zone);
}

ngx_int_t Zone::create(ngx_shm_zone_t* zone)
{
    auto shared = static_cast<Shared*>(ngx_slab_calloc(pool_, sizeof(Shared)));
    if (shared == nullptr) {
        return NGX_ERROR;
    }
    shared_ = shared;
    pool_->data = shared;
    pool_->log_nomem = 0;
    shared->version = Shared::current;
    ngx_rbtree_init(
        &shared->tree, &shared->sentinel, ngx_str_rbtree_insert_value);
    ngx_queue_init(&shared->taken);
    ngx_queue_init(&shared->left);
    ngx_queue_init(&shared->documents);

    auto cycle = const_cast<ngx_cycle_t*>(ngx_cycle);
    return guard(cycle, static_cast<ngx_int_t>(NGX_ERROR), [&] {
        // A zone of another size is new memory: the sessions go on with the
        // key of the old one.
        auto before = find_zone(cycle, zone);
        auto key = before != nullptr ?
            static_cast<Zone*>(before->data)->key() :
            oidc::Secret(oidc::random_bytes(key_size));
        ngx_memcpy(shared->key, key.reveal().data(), key_size);
        return static_cast<ngx_int_t>(NGX_OK);
    });
}

oidc::Secret Zone::key() const
{
    return oidc::Secret(
        std::string(reinterpret_cast<const char*>(shared_->key), key_size));
}

Zone::Taking Zone::take(
    std::string_view id, std::int64_t now, std::int64_t until)
{
    std::string left;
    left.reserve(8192); // no allocation, which may throw, under the lock

    Lock lock(pool_);
    sweep(now);
    auto node = find(id);
    if (node == nullptr) {
        node = insert(id);
        if (node != nullptr) { // else the provider's code stands guard
            node->until = until;
            node->state = Taken::busy;
        }
        return {Taken::ours, {}};
    }
    if (now < node->left_at + keep_left && node->left.len <= left.capacity()) {
        left.assign(view(node->left));
    }
    return {node->state, std::move(left)};
}

void Zone::leave(std::string_view id, std::string_view text, std::int64_t now)
{
    Lock lock(pool_);
    auto node = find(id);
    if (node == nullptr || node->state != Taken::busy) {
        return;
    }
    node->state = Taken::ended;
    node->left_at = now;
    if (text.empty()) {
        return;
    }
    // Out of the way of allocate(), which removes the oldest.
    ngx_queue_remove(&node->link);
    auto data = static_cast<u_char*>(allocate(text.size()));
    ngx_queue_insert_head(&shared_->taken, &node->link);
    if (data != nullptr) {
        ngx_memcpy(data, text.data(), text.size());
        node->left = {text.size(), data};
        ngx_queue_insert_head(&shared_->left, &node->left_link);
    }
}

void Zone::abandon(std::string_view id)
{
    Lock lock(pool_);
    auto node = find(id);
    if (node != nullptr && node->state == Taken::busy) {
        node->state = Taken::abandoned;
    }
}

Zone::Node* Zone::find(std::string_view id)
{
    auto key = str(id);
    auto hash = ngx_crc32_short(key.data, key.len);
    auto found = ngx_str_rbtree_lookup(&shared_->tree, &key, hash);
    // by_id is the first member
    return reinterpret_cast<Node*>(found);
}

Zone::Node* Zone::insert(std::string_view id)
{
    auto node = static_cast<Node*>(allocate(sizeof(Node) + id.size()));
    if (node == nullptr) {
        return nullptr;
    }
    ngx_memzero(node, sizeof(Node));
    ngx_memcpy(node->id, id.data(), id.size());
    node->by_id.str = {id.size(), node->id};
    node->by_id.node.key = ngx_crc32_short(node->id, id.size());
    ngx_rbtree_insert(&shared_->tree, &node->by_id.node);
    ngx_queue_insert_head(&shared_->taken, &node->link);
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
    for (int i = 0; i < 4 && !ngx_queue_empty(&shared_->left); i++) {
        auto oldest = ngx_queue_last(&shared_->left);
        auto node = ngx_queue_data(oldest, Node, left_link);
        if (now < node->left_at + keep_left) {
            break;
        }
        forget_left(node);
    }
    for (int i = 0; i < 4 && !ngx_queue_empty(&shared_->taken); i++) {
        auto oldest = ngx_queue_last(&shared_->taken);
        auto node = ngx_queue_data(oldest, Node, link);
        if (now < node->until) {
            break;
        }
        remove(node);
    }
}

void* Zone::allocate(std::size_t size)
{
    auto memory = ngx_slab_alloc_locked(pool_, size);
    while (memory == nullptr && !ngx_queue_empty(&shared_->taken)) {
        auto oldest = ngx_queue_last(&shared_->taken);
        remove(ngx_queue_data(oldest, Node, link));
        memory = ngx_slab_alloc_locked(pool_, size);
    }
    return memory;
}

Zone::Sight Zone::look(std::string_view id, ngx_uint_t known, std::int64_t now)
{
    Lock lock(pool_);
    Sight sight;
    auto document = find_document(id);
    if (document == nullptr) {
        return sight;
    }
    sight.schedule = document->schedule;
    sight.serial = document->serial;
    if (document->serial != known) {
        sight.body = view(document->body);
    }
    sight.is_asked = document->is_asked(now);
    if (document->has_failed) {
        sight.failure = oidc::Error{document->code,
            std::string(document->detail, document->detail_size)};
    }
    return sight;
}

Zone::Asking Zone::ask(
    std::string_view id, bool anew, std::int64_t now, std::int64_t until)
{
    Lock lock(pool_);
    auto document = get_document(id);
    if (document == nullptr) {
        return Asking::ours; // no room even for that: everybody asks alone
    }
    if (document->is_asked(now)) {
        return Asking::others;
    }
    // What there was no room for is known to the worker alone that asked.
    auto homeless = document->serial == 0 && !document->has_failed;
    auto may = anew ? document->schedule.take_renewal(now) :
                      document->schedule.due(now) || homeless;
    if (!may) {
        return Asking::vain;
    }
    document->asker = ngx_pid;
    document->asked_until = until;
    return Asking::ours;
}

ngx_uint_t Zone::answer(
    std::string_view id, std::string_view body, std::int64_t fresh_until)
{
    Lock lock(pool_);
    auto document = find_document(id);
    if (document == nullptr) {
        return 0;
    }
    document->asker = 0;
    document->has_failed = false;
    document->schedule.succeed(fresh_until);
    if (document->serial != 0 && view(document->body) == body) {
        return document->serial;
    }
    if (document->body.data != nullptr) {
        ngx_slab_free_locked(pool_, document->body.data);
    }
    document->serial = 0;
    document->body.len = 0;
    document->body.data = static_cast<u_char*>(allocate(body.size()));
    if (document->body.data == nullptr) {
        return 0;
    }
    ngx_memcpy(document->body.data, body.data(), body.size());
    document->body.len = body.size();
    return document->serial = ++shared_->serial;
}

void Zone::fail(
    std::string_view id, const oidc::Error& failure, std::int64_t now)
{
    Lock lock(pool_);
    auto document = find_document(id);
    if (document == nullptr) {
        return;
    }
    document->asker = 0;
    document->schedule.fail(now);
    document->has_failed = true;
    document->code = failure.code;
    document->detail_size = ngx_min(failure.detail.size(), longest_detail);
    ngx_memcpy(document->detail, failure.detail.data(), document->detail_size);
}

void Zone::release(std::string_view id)
{
    Lock lock(pool_);
    auto document = find_document(id);
    if (document != nullptr) {
        document->asker = 0;
    }
}

Zone::Document* Zone::find_document(std::string_view id)
{
    auto& queue = shared_->documents;
    for (auto link = ngx_queue_head(&queue); link != ngx_queue_sentinel(&queue);
         link = ngx_queue_next(link)) {
        auto document = ngx_queue_data(link, Document, link);
        if (ngx_memcmp(document->id, id.data(), document_id_size) == 0) {
            ngx_queue_remove(link);
            ngx_queue_insert_head(&queue, link);
            return document;
        }
    }
    return nullptr;
}

Zone::Document* Zone::get_document(std::string_view id)
{
    if (auto known = find_document(id)) {
        return known;
    }
    limit_documents();
    auto document = static_cast<Document*>(allocate(sizeof(Document)));
    if (document == nullptr) {
        return nullptr;
    }
    ngx_memzero(static_cast<void*>(document), sizeof(Document));
    ngx_memcpy(document->id, id.data(), document_id_size);
    ngx_queue_insert_head(&shared_->documents, &document->link);
    shared_->count++;
    return document;
}

// Those of earlier configurations, and of a provider that moves its keys
// about, go in the end.
void Zone::limit_documents()
{
    while (shared_->count >= most_documents) {
        auto oldest = ngx_queue_last(&shared_->documents);
        remove(ngx_queue_data(oldest, Document, link));
    }
}

void Zone::remove(Document* document)
{
    ngx_queue_remove(&document->link);
    shared_->count--;
    if (document->body.data != nullptr) {
        ngx_slab_free_locked(pool_, document->body.data);
    }
    ngx_slab_free_locked(pool_, document);
}

}
