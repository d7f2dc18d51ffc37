// Runs one peer, `node server.mjs NAME`: reads requests on standard input and answers each on standard output.
//
// A request is two little-endian uint32 (faces n, side d) and n·d·d grey bytes; the answer is float64 seconds that all
// faces took, one after the other, and n·7 float32 probabilities, in the order anger, disgust, fear, happiness,
// sadness, surprise, neutral. WebAssembly with SIMD, one thread.
import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const require = createRequire(import.meta.url);
const tf = require('@tensorflow/tfjs');
const wasm = require('@tensorflow/tfjs-backend-wasm');
console.log = console.warn = () => {}; // standard output is for answers

const home = (name) => join(dirname(fileURLToPath(import.meta.url)), 'node_modules', name);

async function faceApi() {
  const faceapi = require(join(home('@vladmandic/face-api'), 'dist', 'face-api.node-wasm.js'));
  await faceapi.nets.faceExpressionNet.loadFromDisk(join(home('@vladmandic/face-api'), 'model'));
  return async (grey, side) => {
    const rgb = faceapi.tf.tidy(() => faceapi.tf.tile(faceapi.tf.tensor3d(grey, [side, side, 1], 'int32'), [1, 1, 3]));
    const found = await faceapi.nets.faceExpressionNet.predictExpressions(rgb);
    rgb.dispose();
    return [found.angry, found.disgusted, found.fearful, found.happy, found.sad, found.surprised, found.neutral];
  };
}

// The model that Human ships for emotion, prepared as its src/gear/emotion.ts does.
async function human() {
  const folder = join(home('@vladmandic/human'), 'models');
  const { modelTopology, weightsManifest } = JSON.parse(readFileSync(join(folder, 'emotion.json')));
  const bytes = readFileSync(join(folder, weightsManifest[0].paths[0]));
  const weightData = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length);
  const model = await tf.loadGraphModel({
    load: async () => ({ modelTopology, weightSpecs: weightsManifest[0].weights, weightData }),
  });
  return async (grey, side) => {
    const out = tf.tidy(() => {
      const face = tf.div(tf.tensor4d(grey, [1, side, side, 1], 'float32'), 255);
      return model.execute(tf.mul(tf.sub(tf.image.resizeBilinear(face, [64, 64], false), 0.5), 2));
    });
    const found = await out.data();
    out.dispose();
    return found;
  };
}

const peers = { 'face-api': faceApi, human };

const chunks = process.stdin[Symbol.asyncIterator]();
let held = Buffer.alloc(0);

async function exactly(length) {
  while (held.length < length) {
    const { value, done } = await chunks.next();
    if (done) return null;
    held = Buffer.concat([held, value]);
  }
  const found = held.subarray(0, length);
  held = held.subarray(length);
  return found;
}

wasm.setWasmPaths(join(home('@tensorflow/tfjs-backend-wasm'), 'dist') + '/');
wasm.setThreadsCount(1);
await tf.setBackend('wasm');
await tf.ready();
const read = await peers[process.argv[2]]();
for (;;) {
  const head = await exactly(8);
  if (head === null) break;
  const [n, side] = [head.readUInt32LE(0), head.readUInt32LE(4)];
  const pixels = await exactly(n * side * side);
  const answer = Buffer.alloc(8 + n * 28);
  const begun = performance.now();
  for (let i = 0; i < n; i += 1) {
    const found = await read(new Uint8Array(pixels.subarray(i * side * side, (i + 1) * side * side)), side);
    for (let k = 0; k < 7; k += 1) answer.writeFloatLE(found[k], 8 + (7 * i + k) * 4);
  }
  answer.writeDoubleLE((performance.now() - begun) / 1000, 0);
  process.stdout.write(answer);
}
