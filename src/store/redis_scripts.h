// Lua scripts, each of which Redis runs atomically.
#pragma once

namespace ngx {

// Sets the time of revocation records by the clock of Redis. The time and the
// expiry of a record only ever get later.
//
// KEYS: the records. ARGV: their time to live in ms; "all", or "known" to
// change existing records only; the earliest time to set, in ms.
constexpr auto revoke_script = R"(
local time = redis.call('TIME')
local now = time[1] .. string.format('%03d', math.floor(time[2] / 1000))
if tonumber(ARGV[3]) > tonumber(now) then
    now = ARGV[3]
end
for _, key in ipairs(KEYS) do
    local left = redis.call('PTTL', key)
    if left ~= -2 or ARGV[2] == 'all' then
        redis.call('SET', key, now, 'PX', math.max(left, tonumber(ARGV[1])))
    end
end
return 1)";

// Creates a record without a revocation, or prolongs the one that exists.
constexpr auto prepare_script = R"(
local left = redis.call('PTTL', KEYS[1])
if left == -2 then
    redis.call('SET', KEYS[1], '0', 'PX', ARGV[1])
elseif left < tonumber(ARGV[1]) then
    redis.call('PEXPIRE', KEYS[1], ARGV[1])
end
return 1)";

}
