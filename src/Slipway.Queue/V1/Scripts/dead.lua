#!lua flags=no-writes
-- Lists dead jobs, the latest first.
-- KEYS  1 dead  2 jobs  3 runs  4 errors
-- ARGV  1 skip  2 most entries
-- Returns  {{id, entry, attempt, losses, enqueued ms, died ms, reason}, ...}
-- O(log n + k) for k entries.
local rows = redis.call('ZREVRANGE', KEYS[1], ARGV[1], ARGV[1] + ARGV[2] - 1, 'WITHSCORES')
local dead = {}
for i = 1, #rows, 2 do
  local id = rows[i]
  local run = redis.call('HGET', KEYS[3], id) or '0 0 0 0'
  local attempt, losses, _, enqueued = string.match(run, '^(%d+) (%d+) (%d+) (%d+)$')
  dead[#dead + 1] = {
    id, redis.call('HGET', KEYS[2], id) or '', tonumber(attempt), tonumber(losses), tonumber(enqueued), tonumber(rows[i + 1]),
    redis.call('HGET', KEYS[4], id) or '' }
end
return dead
