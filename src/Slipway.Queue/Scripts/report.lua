#!lua flags=allow-oom
-- A worker lives, and did so much of each type since its last report: for dashboards, an hour long.
-- KEYS  1 workers  2 history
-- ARGV  1 worker  2 about, or '' when it leaves  3.. (type, completed, failed, busy ms, waited ms, {reason = count} as msgpack)
-- Returns  1
-- O(t) for t types; once a minute O(h) for the history.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if ARGV[2] == '' then
  redis.call('HDEL', KEYS[1], ARGV[1])
else
  redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f ', now) .. ARGV[2])
end
local minute = math.floor(now / 60000)
for i = 3, #ARGV, 6 do
  local field = string.format('%.0f ', minute) .. ARGV[i]
  local stored = redis.call('HGET', KEYS[2], field)
  local row = stored and cmsgpack.unpack(stored)
  if not row then
    row = {0, 0, 0, 0, {}}
    for _, old in ipairs(redis.call('HKEYS', KEYS[2])) do
      if minute - string.match(old, '^%d+') > 60 then
        redis.call('HDEL', KEYS[2], old)
      end
    end
    for _, worker in ipairs(redis.call('HKEYS', KEYS[1])) do
      if now - string.match(redis.call('HGET', KEYS[1], worker), '^%d+') > 600000 then
        redis.call('HDEL', KEYS[1], worker)
      end
    end
  end
  for k = 1, 4 do
    row[k] = row[k] + ARGV[i + k]
  end
  local kinds = 0
  for _ in pairs(row[5]) do
    kinds = kinds + 1
  end
  for reason, count in pairs(cmsgpack.unpack(ARGV[i + 5])) do
    if not row[5][reason] then
      kinds = kinds + 1
      if kinds > 20 then
        reason = 'others'
      end
    end
    row[5][reason] = (row[5][reason] or 0) + count
  end
  redis.call('HSET', KEYS[2], field, cmsgpack.pack(row))
end
return 1
