-- Wireshark: messages of Skerry's channels, link type user 0. What interfaces there are, the
-- generator says; tools/message_trace.py puts its files behind this one.
skerry = {interfaces = {}}

local proto = Proto("skerry", "Skerry message")
local kinds = {[0] = "request", [1] = "reply", [2] = "one way", [3] = "control"}
local directions = {[0] = "from the client", [1] = "from the server"}
local front = {
  channel = ProtoField.uint32("skerry.channel", "channel"),
  contract = ProtoField.uint32("skerry.contract", "contract", base.HEX),
  number = ProtoField.uint16("skerry.number", "number"),
  kind = ProtoField.uint8("skerry.kind", "kind", base.DEC, kinds),
  direction = ProtoField.uint8("skerry.direction", "direction", base.DEC, directions),
  call = ProtoField.uint16("skerry.call", "call"),
  flow = ProtoField.uint16("skerry.flow", "flow"),
  message = ProtoField.string("skerry.message", "message"),
  failed = ProtoField.uint64("skerry.error", "error", base.HEX),
}
local registered = {}

-- `skerry.console.write.text`: one field for arguments and results of that name and kind.
local function register(interface, message, field)
  local name = "skerry." .. interface.name .. "." .. message.name .. "." .. field.name
  local kind = field.kind
  local key = name .. ":" .. kind
  if not registered[key] then
    local words = nil
    if field.words then
      words = {}
      for i, word in ipairs(field.words) do words[i - 1] = word end
    end
    if kind == "string" or kind == "bytes" or kind == "ipv4" or kind == "ether" or kind == "bool" then
      registered[key] = ProtoField[kind](name, field.name)
    else
      registered[key] = ProtoField[kind](name, field.name, base.DEC, words)
    end
  end
  field.proto = registered[key]
end

function skerry.register_all()
  local fields = {}
  for _, field in pairs(front) do fields[#fields + 1] = field end
  for _, interface in pairs(skerry.interfaces) do
    for _, message in pairs(interface.messages) do
      for _, field in ipairs(message.takes) do register(interface, message, field) end
      for _, field in ipairs(message.gives) do register(interface, message, field) end
    end
  end
  for _, field in pairs(registered) do fields[#fields + 1] = field end
  proto.fields = fields
end

local function dissect_fields(list, buffer, at, tree)
  for _, field in ipairs(list) do
    local size = field.bytes
    if field.kind == "bytes" then
      if buffer:len() < at + 2 then return false end
      size = buffer(at, 2):le_uint()
      at = at + 2
      if size > field.bytes then return false end
    end
    if buffer:len() < at + size then return false end
    if size > 0 then
      if field.kind == "ipv4" or field.kind == "ether" or field.kind == "string" or field.kind == "bytes" then
        tree:add(field.proto, buffer(at, size))
      else
        tree:add_le(field.proto, buffer(at, size))
      end
    end
    at = at + size
  end
  return true
end

local function title(interface, number, kind)
  if not interface then return "unknown", nil end
  local message = interface.messages[number]
  if kind == 3 then return interface.name .. " (channel)", nil end
  if not message then return interface.name .. "." .. number, nil end
  return interface.name .. "." .. message.name .. (kind == 1 and " answer" or ""), message
end

function proto.dissector(buffer, info, tree)
  if buffer:len() < 16 then return 0 end
  local top = tree:add(proto, buffer())
  local at = 0
  for _, word in ipairs({{"channel", 4}, {"contract", 4}, {"number", 2}, {"kind", 1}, {"direction", 1},
                         {"call", 2}, {"flow", 2}}) do
    top:add_le(front[word[1]], buffer(at, word[2]))
    at = at + word[2]
  end
  local interface = skerry.interfaces[buffer(4, 4):le_uint()]
  local number, kind = buffer(8, 2):le_uint(), buffer(10, 1):uint()
  local text, message = title(interface, number, kind)
  top:add(front.message, buffer(8, 2), text)
  info.cols.protocol = "SKERRY"
  info.cols.info = text
  info.cols.src = directions[buffer(11, 1):uint()]
  if not message then return buffer:len() end
  local list = message.takes
  if kind == 1 then
    list = message.gives
    if buffer(at, 1):uint() ~= 0 then
      if buffer:len() >= at + 9 then top:add_le(front.failed, buffer(at + 1, 8)) end
      return buffer:len()
    end
    at = at + 1
  end
  if not dissect_fields(list, buffer, at, top) then
    top:add_expert_info(PI_MALFORMED, PI_ERROR, "too short, or a length that cannot be")
  end
  return buffer:len()
end

DissectorTable.get("wtap_encap"):add(wtap.USER0, proto)
