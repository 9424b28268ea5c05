-- What comes after tasks that have ended: three words each, id, letter (d done, c
-- cancelled, x dead), result or note. A task's link says it:
--   c<id> the next of its chain, which begins if it is done, or else is called off
--   C<id> the next of its chain, which begins in any case
--   g<index> <id> it is a member of a group, whose last step has this id
-- The hash of a group has its size (n), its rule (p: s one failure ends it, c it goes on),
-- the ids of all its tasks (all), and of each member how it ended.
local MOST_GATHERED, REMEMBERED = 4194304, 3600000

-- What waits for others begins; what they came to is appended to its envelope.
local function set_off(base, id, words, ready)
  local envelope = redis.call('HGET', base .. 'job', id)
  for lane = 0, 2 do
    if envelope and redis.call('ZREM', base .. 'due', lane .. ':' .. id) == 1 then
      redis.call('HSET', base .. 'job', id, envelope .. '\n' .. words)
      local ids = ready[tostring(lane)]
      ids[#ids + 1] = id
    end
  end
end

-- The results of a group, a line each. Beyond a limit only the letters are kept.
local function gathered(base, group, count)
  local fields, size = {}, 0
  for index = 1, count do
    fields[index] = index
  end
  local lines = redis.call('HMGET', base .. 'g:' .. group, unpack(fields))
  for index, line in ipairs(lines) do
    size = size + #line
    if size > MOST_GATHERED then
      lines[index] = string.sub(line, 1, 1)
    end
  end
  return table.concat(lines, '\n')
end

local function follow(base, queue, now, ends)
  local ready, at = new_lanes(), 1
  local function end_of(id, why)
    if call_off(base, id, now, REMEMBERED, why, queue) == 'c' then
      ends[#ends + 1], ends[#ends + 2], ends[#ends + 3] = id, 'c', ''
    end
  end
  while at < #ends do
    local id, letter, body = ends[at], ends[at + 1], ends[at + 2]
    at = at + 3
    local link = redis.call('HGET', base .. 'link', id) or ''
    local kind = string.sub(link, 1, 1)
    if kind ~= '' then
      redis.call('HDEL', base .. 'link', id)
    end
    if kind == 'C' or (kind == 'c' and letter == 'd') then
      set_off(base, string.sub(link, 2), letter .. body, ready)
    elseif kind == 'c' then
      end_of(string.sub(link, 2), id)
    elseif kind == 'g' then
      local index, group = string.match(link, '^g(%d+) (.*)$')
      local key = base .. 'g:' .. group
      local facts = redis.call('HMGET', key, 'n', 'p', 'all')
      if facts[1] and letter ~= 'd' and facts[2] == 's' then
        redis.call('DEL', key)
        end_of(group, id)
        for other in string.gmatch(facts[3], '[^\n]+') do
          end_of(other, id)
        end
      elseif facts[1] and redis.call('HSETNX', key, index, letter .. body) == 1
          and redis.call('HLEN', key) - 3 >= tonumber(facts[1]) then
        set_off(base, group, gathered(base, group, tonumber(facts[1])), ready)
        redis.call('DEL', key)
      end
    end
  end
  local count = put(base, 'RPUSH', ready)
  if count > 0 then
    ring(base, queue, count, #ready['0'] > 0)
  end
end
