#!lua flags=no-writes
-- changes: the transactions after a cursor, or why they cannot be told.
-- idempotent
-- KEYS  1 meta, 2 log        ARGV  1 epoch, 2 revision, 3 its id, 4 at most so many
-- returns {'ok', epoch, entries of the log, 1 if there are more | 0} | {'gap', reason}
local meta = redis.call('HMGET', KEYS[1], 'epoch', 'revision', 'id')
local epoch, last = meta[1] or '', tonumber(meta[2] or '0')
local after, limit = tonumber(ARGV[2]), tonumber(ARGV[4])
if after > 0 and epoch ~= ARGV[1] then
  return {'gap', 'epoch'}
end
if after > last then
  return {'gap', 'lost'}
end
if after == last then
  if after > 0 and meta[3] ~= ARGV[3] then
    return {'gap', 'lost'}
  end
  return {'ok', epoch, {}, 0}
end
-- The transaction at the cursor is read along: it must still be the one that was seen.
local entries = redis.call('XRANGE', KEYS[2], after .. '-0', '+', 'COUNT', limit + 1)
if after > 0 then
  if not entries[1] or entries[1][1] ~= after .. '-0' then
    return {'gap', 'trimmed'}
  end
  if entries[1][2][2] ~= ARGV[3] then
    return {'gap', 'lost'}
  end
  table.remove(entries, 1)
elseif not entries[1] or entries[1][1] ~= '1-0' then
  return {'gap', 'trimmed'}
end
if #entries > limit then
  table.remove(entries)
end
local told = after + #entries
return {'ok', epoch, entries, told < last and 1 or 0}
