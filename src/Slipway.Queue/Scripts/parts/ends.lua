-- What the final state of a job sets off: its unique key, its batch, those that wait for it, what is kept of it.
-- A tracked job in the hash jobs is a msgpack list: 1 type, 2 state (0 waiting, 1 ready, 2 running, 3 completed, 4 dead, 5 cancelled),
-- 3 attempt, 4 progress, 5 note, 6 result, 7 error, 8 updated ms, 9 1 = cancel asked for, 10 jobs it waits for, 11 {ids that wait for it}.
-- A batch in the hash batches: 1 total, 2 pending, 3 failed, 4 1 = open, 5 callback entry, 6 1 = called back.
local COMPLETED, DIED, CANCELLED = 3, 4, 5
local bury

local function batch_ended(id, failed)
  local stored = redis.call('HGET', BATCHES, id)
  if not stored then
    return
  end
  local batch = cmsgpack.unpack(stored)
  batch[2] = batch[2] - 1
  if failed then
    batch[3] = batch[3] + 1
  end
  if batch[2] == 0 and batch[4] == 0 and batch[6] == 0 then
    batch[6] = 1
    to_ready(batch[5], false)
    batch[5] = ''
    redis.call('ZADD', EXPIRY, now + KEEP, 'b' .. id)
  end
  redis.call('HSET', BATCHES, id, cmsgpack.pack(batch))
end

-- how: COMPLETED, DIED or CANCELLED. Follows dependents without recursion: a chain may be long.
local function finish(first, first_how, first_error, first_result)
  local todo = {{first, first_how, first_error, first_result}}
  local at = 1
  while todo[at] do
    local entry, how, error, result = todo[at][1], todo[at][2], todo[at][3], todo[at][4]
    at = at + 1
    if readable(entry) then
      local flags = string.byte(entry, 2)
      local id = id_of(entry)
      if bit.band(flags, UNIQUE) ~= 0 then
        local key, keep = unique_of(entry)
        if redis.call('HGET', UNIQ, key) == id then
          if how == COMPLETED and keep > 0 then
            redis.call('ZADD', EXPIRY, now + keep * 1000, 'u' .. key)
          else
            redis.call('HDEL', UNIQ, key)
          end
        end
      end
      if bit.band(flags, ASIDE) ~= 0 and how ~= DIED then
        redis.call('HDEL', BIG, id)
      end
      if bit.band(flags, BATCH) ~= 0 then
        batch_ended(batch_of(entry), how ~= COMPLETED)
      end
      if bit.band(flags, TRACKED) ~= 0 then
        local stored = redis.call('HGET', JOBS, id)
        if stored then
          local job = cmsgpack.unpack(stored)
          job[2], job[7], job[8], job[9] = how, error, now, 0
          if how == COMPLETED then
            job[4] = 100
            job[6] = result
          end
          for _, waiter in ipairs(job[11]) do
            local kept = redis.call('HGET', JOBS, waiter)
            local body = redis.call('HGET', WAITING, waiter)
            if kept and body then
              local dependent = cmsgpack.unpack(kept)
              if how ~= COMPLETED then
                redis.call('HDEL', WAITING, waiter)
                if how == CANCELLED then
                  redis.call('HINCRBY', TOTALS, 'cancelled', 1)
                  redis.call('HINCRBY', META, 'live', -1)
                  redis.call('HINCRBY', META, 'bytes', -#body)
                  todo[#todo + 1] = {body, CANCELLED, 'a job that it waited for was cancelled', ''}
                else
                  redis.call('HINCRBY', META, 'live', -1)
                  redis.call('HINCRBY', META, 'bytes', -#body)
                  bury(body, 'dependency', 'a job that it waited for is dead')
                  todo[#todo + 1] = {body, DIED, 'a job that it waited for is dead', ''}
                end
              else
                dependent[10] = dependent[10] - 1
                if dependent[10] <= 0 then
                  redis.call('HDEL', WAITING, waiter)
                  dependent[2] = 1
                  dependent[8] = now
                  to_ready(body, false)
                end
                redis.call('HSET', JOBS, waiter, cmsgpack.pack(dependent))
              end
            end
          end
          job[11] = {}
          redis.call('HSET', JOBS, id, cmsgpack.pack(job))
          redis.call('ZADD', EXPIRY, now + KEEP, 'j' .. id)
        end
      end
    end
  end
end

-- Among the dead, with the overflow policy. Ends nothing else: finish does.
bury = function(entry, reason, error)
  redis.call('XADD', DEAD, '*', 'e', entry, 'r', reason, 'm', error)
  redis.call('HINCRBY', REASONS, reason, 1)
  redis.call('HINCRBY', TOTALS, 'died', 1)
  local bounds = redis.call('HMGET', META, 'maxdead', 'dropdead')
  local count, most = redis.call('XLEN', DEAD), tonumber(bounds[1])
  if most and count >= most then
    if bounds[2] == '1' then
      for _, old in ipairs(count > most and redis.call('XRANGE', DEAD, '-', '+', 'COUNT', count - most) or {}) do
        redis.call('XDEL', DEAD, old[1])
        if redis.call('HINCRBY', REASONS, old[2][4], -1) <= 0 then
          redis.call('HDEL', REASONS, old[2][4])
        end
        if readable(old[2][2]) then
          redis.call('HDEL', BIG, id_of(old[2][2]))
        end
        redis.call('HINCRBY', TOTALS, 'dropped', 1)
      end
    elseif redis.call('HGET', META, 'halted') ~= 'settings' then
      redis.call('HSET', META, 'halted', 'dead letters')
    end
  end
end
