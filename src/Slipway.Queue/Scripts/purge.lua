#!lua flags=allow-oom
-- Forgets dead letters: those named, or all.
-- KEYS  all, see parts/keys.lua
-- ARGV  1 wake channel  2 all, or ids in the stream
-- Returns  how many, or -1 for all when some have payloads beside the queue: name them
-- O(n) for n named; all of them O(1), freed behind the scenes.
--#include keys
local WAKE = ARGV[1]
--#include entry
local gone = 0
if ARGV[2] == 'all' then
  if redis.call('HLEN', BIG) > 0 then
    return -1
  end
  gone = redis.call('XLEN', DEAD)
  redis.call('UNLINK', DEAD)
  redis.call('UNLINK', REASONS)
else
  for i = 2, #ARGV do
    local letter = redis.call('XRANGE', DEAD, ARGV[i], ARGV[i])[1]
    if letter then
      local entry, reason = letter[2][2], letter[2][4]
      if redis.call('HINCRBY', REASONS, reason, -1) <= 0 then
        redis.call('HDEL', REASONS, reason)
      end
      if readable(entry) then
        redis.call('HDEL', BIG, id_of(entry))
      end
      gone = gone + redis.call('XDEL', DEAD, letter[1])
    end
  end
end
redis.call('HINCRBY', TOTALS, 'purged', gone)
if redis.call('HGET', META, 'halted') == 'dead letters' and redis.call('XLEN', DEAD) < tonumber(redis.call('HGET', META, 'maxdead')) then
  redis.call('HDEL', META, 'halted')
  redis.call('PUBLISH', WAKE, '')
end
return gone
