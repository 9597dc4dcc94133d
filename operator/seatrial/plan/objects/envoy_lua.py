"""How Envoy changes responses: a Lua filter, which only the routes of ``body`` faults run."""

from __future__ import annotations

NAME = "body"

# NB: nothing in it may wait (no httpCall): what arrives meanwhile would pass unchanged, and a body
# longer than Envoy's buffer would become an error 500. So it learns whether the fault is still on
# from a file, which the gateway removes at the fault's end, before it switches the route: a
# response that comes after the end of its fault is not touched.
SOURCE = """
function envoy_on_request(handle)
  if handle:headers():get(":method") == "HEAD" then
    handle:streamInfo():dynamicMetadata():set("seatrial", "head", true)
  end
end

local function has_no_body(handle, status)
  local ours = handle:streamInfo():dynamicMetadata():get("seatrial")
  return (ours ~= nil and ours["head"]) or status == "204" or status == "304"
end

local function replace(handle, text)
  local headers = handle:headers()
  local length = tonumber(headers:get("content-length") or "")
  headers:remove("content-encoding")
  if length ~= nil then
    headers:replace("content-length", tostring(#text))
  end
  if length == 0 then
    handle:body(true):setBytes(text)
    return
  end
  for chunk in handle:bodyChunks() do
    chunk:setBytes(text)
    text = ""
  end
end

local function truncate(handle, left)
  local length = tonumber(handle:headers():get("content-length") or "")
  if length ~= nil and length <= left then
    return
  end
  if length ~= nil then
    -- HTTP/1.1 has no other way to say that the rest will not come.
    handle:streamInfo():drainConnectionUponCompletion()
  end
  for chunk in handle:bodyChunks() do
    local size = chunk:length()
    if size > left then
      chunk:setBytes(chunk:getBytes(0, left))
    end
    left = math.max(0, left - size)
  end
end

function envoy_on_response(handle)
  local fault = handle:filterContext()
  local switch = io.open(fault:get("switch"), "r")
  if switch == nil then
    return
  end
  switch:close()
  if fault:get("contentType") ~= nil then
    handle:headers():replace("content-type", fault:get("contentType"))
  elseif has_no_body(handle, handle:headers():get(":status")) then
    return
  elseif fault:get("replace") ~= nil then
    replace(handle, fault:get("replace"))
  else
    truncate(handle, tonumber(fault:get("truncate")))
  end
end
"""
