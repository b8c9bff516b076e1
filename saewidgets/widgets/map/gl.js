// All points in one draw call of WebGL 2.
const VERTEX = `#version 300 es
in vec2 at;
in vec4 color;
in float size;
uniform vec2 center, scale;
uniform float radius;
out vec4 shade;
out float reach;
void main() {
  reach = radius * size * 255.0 / 32.0;
  gl_Position = vec4((at - center) * scale, 0.0, 1.0);
  gl_PointSize = 2.0 * reach + 2.0;
  shade = color;
}`;
const FRAGMENT = `#version 300 es
precision mediump float;
in vec4 shade;
in float reach;
out vec4 result;
void main() {
  float off = length(gl_PointCoord - 0.5) * (2.0 * reach + 2.0);
  float alpha = shade.a * clamp(reach - off + 0.5, 0.0, 1.0);
  float rim = reach > 5.0 ? smoothstep(reach - 2.2, reach - 0.6, off) * 0.28 : 0.0;
  result = vec4(shade.rgb * (1.0 - rim) * alpha, alpha);
}`;

function compile(gl, type, source) {
  const shader = gl.createShader(type);
  gl.shaderSource(shader, source);
  gl.compileShader(shader);
  gl.attachShader(gl.program, shader);
}

function attribute(gl, name, buffer, length, type, normalized) {
  const place = gl.getAttribLocation(gl.program, name);
  gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
  gl.enableVertexAttribArray(place);
  gl.vertexAttribPointer(place, length, type, normalized, 0, 0);
}

// Null where the browser has no WebGL 2.
function createGlPainter(space) {
  const canvas = make("canvas", { class: "saew-points", "aria-hidden": "true" });
  const gl = canvas.getContext("webgl2", { alpha: true, antialias: false, premultipliedAlpha: true, powerPreference: "low-power" });
  if (!gl) return null;
  gl.program = gl.createProgram();
  compile(gl, gl.VERTEX_SHADER, VERTEX);
  compile(gl, gl.FRAGMENT_SHADER, FRAGMENT);
  gl.linkProgram(gl.program);
  if (!gl.getProgramParameter(gl.program, gl.LINK_STATUS)) return null;
  gl.useProgram(gl.program);
  const [at, color, size, order] = [1, 2, 3, 4].map(() => gl.createBuffer());
  const place = new Float32Array(2 * space.size);
  for (let i = 0; i < space.size; i++) {
    place[2 * i] = space.x[i];
    place[2 * i + 1] = space.y[i];
  }
  gl.bindBuffer(gl.ARRAY_BUFFER, at);
  gl.bufferData(gl.ARRAY_BUFFER, place, gl.STATIC_DRAW);
  attribute(gl, "at", at, 2, gl.FLOAT, false);
  attribute(gl, "color", color, 4, gl.UNSIGNED_BYTE, true);
  attribute(gl, "size", size, 1, gl.UNSIGNED_BYTE, true);
  gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, order);
  gl.enable(gl.BLEND);
  gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
  const uniform = (name) => gl.getUniformLocation(gl.program, name);
  const [center, scale, radius] = [uniform("center"), uniform("scale"), uniform("radius")];

  return {
    canvas,
    kind: "webgl",
    style(look) {
      gl.bindBuffer(gl.ARRAY_BUFFER, color);
      gl.bufferData(gl.ARRAY_BUFFER, look.colors, gl.DYNAMIC_DRAW);
      gl.bindBuffer(gl.ARRAY_BUFFER, size);
      gl.bufferData(gl.ARRAY_BUFFER, look.sizes, gl.DYNAMIC_DRAW);
      gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, look.order, gl.DYNAMIC_DRAW);
    },
    draw(camera, points, ratio) {
      gl.viewport(0, 0, canvas.width, canvas.height);
      gl.clearColor(0, 0, 0, 0);
      gl.clear(gl.COLOR_BUFFER_BIT);
      gl.uniform2f(center, camera.x, camera.y);
      gl.uniform2f(scale, (2 * camera.scale) / camera.width, (2 * camera.scale) / camera.height);
      gl.uniform1f(radius, points * ratio);
      gl.drawElements(gl.POINTS, space.size, gl.UNSIGNED_INT, 0);
    },
    // A browser keeps only sixteen contexts alive; waiting for the garbage collector would kill a neighbour's.
    dispose: () => gl.getExtension("WEBGL_lose_context")?.loseContext(),
  };
}
