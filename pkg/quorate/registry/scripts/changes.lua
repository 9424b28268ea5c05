-- changes: what happened to one service after a revision, without a gap.
-- idempotent
-- KEYS  1 sessions, 2 root of the registry
-- ARGV  1 service, 2 epoch, 3 revision that is known, 4 at most so many
-- returns {1, rev, entries of the log} | {0, rev, {}} when only a snapshot can tell:
--          another epoch, a revision that went back, a log that is cut, or too much
-- include records
local epoch = redis.call('GET', root .. 'epoch') or ''
local revision, after = revision_of(ARGV[1]), tonumber(ARGV[3])
if epoch ~= ARGV[2] or revision < after or revision - after > tonumber(ARGV[4]) then
  return {0, revision, {}}
elseif revision == after then
  return {1, revision, {}}
end
local entries = redis.call('XRANGE', key(ARGV[1], 'log'), whole(after + 1) .. '-0', '+')
if #entries ~= revision - after then
  return {0, revision, {}}
end
return {1, revision, entries}
