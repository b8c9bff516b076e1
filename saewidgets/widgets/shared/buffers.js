// Binary messages: the counterpart of buffers.py.
const ARRAYS = { u1: Uint8Array, u2: Uint16Array, u4: Uint32Array, i1: Int8Array, i4: Int32Array, f4: Float32Array };

function bytesOf(buffer) {
  return buffer instanceof ArrayBuffer ? new Uint8Array(buffer) : new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength);
}

// Collects the pieces of a blob; returns it once it is whole, null before.
function collect(waiting, message, buffers) {
  const key = `${message.type} ${message.acts}`;
  const parts = waiting.get(key) || new Array(message.parts).fill(null);
  parts[message.part] = bytesOf(buffers[0]);
  waiting.set(key, parts);
  if (parts.includes(null)) return null;
  waiting.delete(key);
  const blob = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let at = 0;
  for (const part of parts) {
    blob.set(part, at);
    at += part.length;
  }
  return blob;
}

// `blob` must start its own ArrayBuffer, as collect's result does: arrays are views at multiples of 8.
function unpack(blob) {
  const start = 4 + new DataView(blob.buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(blob.subarray(4, start)));
  const arrays = {};
  for (const [name, type, length, offset] of header.arrays) {
    arrays[name] = new ARRAYS[type](blob.buffer, start + offset, length);
  }
  return { meta: header.meta, ...arrays };
}
