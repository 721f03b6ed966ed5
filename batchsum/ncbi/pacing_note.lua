-- What was let through left only now, or nobody may send for a while, or the limit fell. KEYS are the sends and the
-- state, ARGV is member or '', microseconds, thousandths of a request a second or ''.
local time = redis.call('TIME')
local moment = string.format('%.0f', time[1] * 1000000 + time[2] + ARGV[2])
if ARGV[3] ~= '' then
    local known = tonumber(redis.call('HGET', KEYS[2], 'millirate') or '') or 0
    if tonumber(ARGV[3]) < known then redis.call('HSET', KEYS[2], 'millirate', ARGV[3]) end
elseif ARGV[1] ~= '' then
    redis.call('ZADD', KEYS[1], moment, ARGV[1])
elseif tonumber(moment) > (tonumber(redis.call('HGET', KEYS[2], 'held') or '') or 0) then
    redis.call('HSET', KEYS[2], 'held', moment)
end
redis.call('PEXPIRE', KEYS[1], 3600000)
redis.call('PEXPIRE', KEYS[2], 3600000)
