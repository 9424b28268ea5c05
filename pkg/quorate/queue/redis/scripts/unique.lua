-- Let a task have its unique key. Returns the id of the task that has it, if it is
-- another; or nothing. Those in `here` are about to be put in. Wants `words_of`.
local function take_unique(base, id, envelope, here)
  for _, word in ipairs(words_of(envelope)) do
    if word.kind == 'u' then
      local holder
      if word.first == 2 then
        holder = redis.call('GET', base .. 'once:' .. word.label)
        if not holder then
          redis.call('SET', base .. 'once:' .. word.label, id, 'PX', word.second)
        end
      else
        holder = redis.call('HGET', base .. 'uniq', word.label)
        if holder and not here[holder]
            and (redis.call('HEXISTS', base .. 'job', holder) == 0
            or redis.call('HEXISTS', base .. 'err', holder) == 1) then
          holder = nil
        end
        if not holder then
          redis.call('HSET', base .. 'uniq', word.label, id)
        end
      end
      if holder and holder ~= id then
        return holder
      end
    end
  end
end
