-- Puts an entry in line: at its end, or (head) where the next fetch takes it. Tells idle workers when there was nothing before.
local function to_ready(entry, head)
  local level = math.min(7, string.byte(entry, 3) or 7)
  local length = redis.call(head and 'RPUSH' or 'LPUSH', READY[level + 1], entry)
  local levels = tonumber(redis.call('HGET', META, 'levels') or 0)
  if bit.band(levels, bit.lshift(1, level)) == 0 then
    redis.call('HSET', META, 'levels', bit.bor(levels, bit.lshift(1, level)))
  end
  if length == 1 then
    redis.call('PUBLISH', WAKE, '')
  end
end
local function to_delayed(entry, due)
  local first = redis.call('ZRANGE', DELAYED, 0, 0, 'WITHSCORES')
  redis.call('ZADD', DELAYED, due, entry)
  if not first[1] or due < tonumber(first[2]) then
    redis.call('PUBLISH', WAKE, '')
  end
end
