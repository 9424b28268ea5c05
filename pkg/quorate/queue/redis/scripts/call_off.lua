-- A task is not wanted any more. Returns a letter: c cancelled · r it runs, its worker is
-- told · d done · x dead · u not known. What is kept of it says why, if anything does.
-- Wants `ring`, `tell` and `guards`.
local function call_off(base, id, now, keep, why, queue)
  local owner = redis.call('HGET', base .. 'own', id)
  if owner then
    local process = string.match(owner, '^(.*)%.%d+|%d+|%d|%d$')
    redis.call('ZADD', base .. 'stop', now, id)
    redis.call('HSET', base .. 'cfg', 'stops', 1)
    if process then
      local mail = string.gsub(base, '^(%b{}:j:).*$', '%1to:')
      redis.call('PUBLISH', mail .. process, 'c' .. queue .. '\n' .. id)
    end
    return 'r'
  end
  if redis.call('HEXISTS', base .. 'err', id) == 1 then
    return 'x'
  end
  if redis.call('HEXISTS', base .. 'job', id) == 0 then
    local result = redis.call('HGET', base .. 'res', id)
    return result and string.sub(result, 1, 1) or 'u'
  end
  local woken = unguard(new_guards(base), {id}, {[id] = true})
  if woken > 0 then
    ring(base, queue, woken, false)
  end
  redis.call('HDEL', base .. 'job', id)
  redis.call('HDEL', base .. 'prog', id)
  redis.call('ZREM', base .. 'stop', id)
  local gate = redis.call('HGET', base .. 'parked', id)
  local place = gate and 'park:' .. gate or 'due'
  redis.call('HDEL', base .. 'parked', id)
  if redis.call('ZREM', base .. place, '0:' .. id, '1:' .. id, '2:' .. id) == 0 then
    redis.call('HSET', base .. 'att', id, 'x')
  else
    redis.call('HDEL', base .. 'att', id)
  end
  redis.call('HSET', base .. 'res', id, 'c' .. why)
  redis.call('ZADD', base .. 'resx', now + keep, id)
  tell(base, redis.call('HGET', base .. 'cfg', 'waiting'), {id})
  return 'c'
end
