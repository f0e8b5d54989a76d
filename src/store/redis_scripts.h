// What Redis does for us in one piece, in Lua.
#pragma once

namespace ngx {

// A record of a revocation only ever gets later and lives longer, whoever
// writes it. Redis runs a script in one piece, by its own clock.
//
// KEYS: the records. ARGV: milliseconds that they live; "all", or "known" for
// those only that are there; the time that is meant where Redis's is earlier.
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

// A record that says that nothing is revoked, unless there is one.
constexpr auto prepare_script = R"(
local left = redis.call('PTTL', KEYS[1])
if left == -2 then
    redis.call('SET', KEYS[1], '0', 'PX', ARGV[1])
elseif left < tonumber(ARGV[1]) then
    redis.call('PEXPIRE', KEYS[1], ARGV[1])
end
return 1)";

}
