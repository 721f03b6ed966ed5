-- May the next send leave? A window log on the clock of Redis, in microseconds. KEYS are the sends and the state,
-- ARGV is rate, guard, lead, member, is_back, settling. Returns the wait, and whether processes are still settling.
-- The largest rate of those who sent in the last two seconds is the server's limit, as far as anybody knows.
-- Spacing and window are those of pacing_file.Ledger.
local sends, state = KEYS[1], KEYS[2]
local function field(name) return tonumber(redis.call('HGET', state, name) or '') or 0 end
local function put(name, value) redis.call('HSET', state, name, string.format('%.0f', value)) end
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2] + ARGV[3]
if ARGV[5] == '1' or redis.call('EXISTS', state) == 0 then
    put('settling', math.max(field('settling'), now + ARGV[6]))
end
local rate = tonumber(ARGV[1])
if now - field('rated') < 2000000 then rate = math.max(rate, field('millirate') / 1000) end
local count = math.max(1, math.floor(rate))
local period = math.max(1, count / rate) * 1000000 + ARGV[2]
redis.call('ZREMRANGEBYSCORE', sends, '-inf', string.format('(%.0f', now - 2 * period))
redis.call('ZREMRANGEBYSCORE', sends, string.format('(%.0f', now + 1000000), '+inf')
local held = field('held')
local wait = held < now + 3600000000 and held - now or 0
local last = redis.call('ZREVRANGE', sends, 0, 0, 'WITHSCORES')[2]
if last then wait = math.max(wait, last + 0.9 * period / count - 2000 - now) end
local first = redis.call('ZREVRANGE', sends, count - 1, count - 1, 'WITHSCORES')[2]
if first then wait = math.max(wait, first + period - now) end
if wait <= 0 then
    redis.call('ZADD', sends, string.format('%.0f', now), ARGV[4])
    if tonumber(ARGV[1]) >= rate then put('millirate', rate * 1000) put('rated', now) end
    wait = 0
end
redis.call('PEXPIRE', sends, 3600000)
redis.call('PEXPIRE', state, 3600000)
return {math.ceil(wait), field('settling') > now and 1 or 0}
