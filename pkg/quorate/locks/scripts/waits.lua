-- waits: note what this process waits for, and read who waits for whom, in one step.
-- A note is of a wait whose owner holds something; the locks of all notes are read.
-- idempotent
-- KEYS  1 sessions
-- ARGV  1 session, or '' only to read, 2 its notes, '' for none,
--       3 at most so many claims of a lock
-- returns {{session, notes, …}, {name, mode, the reader that waits to be the writer or
--          '', {holder's id, …}, {writer's id, …}, {reader's id, …}, …}}
-- clock: server
-- include keys
-- include granting
-- include room
local notes, session, mine, most = base .. 'n', ARGV[1], ARGV[2], tonumber(ARGV[3])
if mine ~= '' and is_alive(session) then
  redis.call('HSET', notes, session, mine)
elseif session ~= '' then
  redis.call('HDEL', notes, session)
end

local said, names, seen = {}, {}, {}
local all = redis.call('HGETALL', notes)
for at = 1, #all, 2 do
  if is_alive(all[at]) then
    said[#said + 1] = all[at]
    said[#said + 1] = all[at + 1]
    for name in string.gmatch(all[at + 1], '\n([^\t\n]+)\t') do
      if not seen[name] then
        seen[name] = true
        names[#names + 1] = name
      end
    end
  else
    redis.call('HDEL', notes, all[at])
  end
end

local function standing(name, mode)
  local found = {}
  for _, id in ipairs(redis.call('ZRANGE', queue(name, mode), 0, most - 1)) do
    local record = redis.call('HGET', waits, id)
    if record and is_alive(fields(record)[5]) then
      found[#found + 1] = id
    end
  end
  return found
end

local lines_found = {}
for _, name in ipairs(names) do
  local mode, upgrading, holders = '', '', {}
  local lock = redis.call('HGETALL', holds(name))
  for at = 1, #lock, 2 do
    local id, record = lock[at], lock[at + 1]
    if id == 'm' then
      mode = record
    elseif id == 'u' then
      upgrading = record
    elseif string.find(record, '\n', 1, true) and #holders < most then
      local is = fields(record)
      local hard_end = tonumber(is[2])
      if is_alive(is[4]) and (hard_end == 0 or hard_end > now) then
        holders[#holders + 1] = id
      end
    end
  end
  local found = lines_found
  found[#found + 1] = name
  found[#found + 1] = mode
  found[#found + 1] = upgrading
  found[#found + 1] = holders
  found[#found + 1] = standing(name, 'x')
  found[#found + 1] = standing(name, 's')
end
return {said, lines_found}
