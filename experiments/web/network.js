// A trained decoder in the browser: read from the bytes of a safetensors file, and run for one code at a time.
"use strict";

const ACTIVATIONS = {
  linear: (x) => x,
  relu: (x) => (x > 0 ? x : 0),
  sigmoid: (x) => 1 / (1 + Math.exp(-x)),
  tanh: Math.tanh,
  elu: (x) => (x > 0 ? x : Math.expm1(x)),
};

/** float32 numbers of float16 bits: exponent and fraction moved to their places, then the exponent's offset made up for. */
function fromHalf(halves) {
  const bits = Uint32Array.from(halves, (half) => ((half & 0x8000) << 16) | ((half & 0x7fff) << 13));
  return new Float32Array(bits.buffer).map((x) => x * 2 ** 112);
}

/** The tensors and the metadata of a safetensors file: 8 bytes of length, a JSON header, then the numbers. */
function readSafetensors(buffer) {
  const length = Number(new DataView(buffer).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, length)));
  const { __metadata__: metadata, ...described } = header;
  const tensors = {};
  for (const [name, { dtype, shape, data_offsets: [start, end] }] of Object.entries(described)) {
    if (dtype !== "F16") throw new Error(`${name} is ${dtype}, expected F16`);
    tensors[name] = { shape, values: fromHalf(new Uint16Array(buffer.slice(8 + length + start, 8 + length + end))) };
  }
  return { tensors, metadata };
}

/** y = activation(kernel' x + bias), kernel [in, out]. */
function dense(x, kernel, bias, activation) {
  const [size, features] = kernel.shape;
  const y = Float32Array.from(bias.values);
  for (let i = 0; i < size; i++) {
    const value = x[i];
    if (value === 0) continue;
    const row = i * features;
    for (let j = 0; j < features; j++) y[j] += kernel.values[row + j] * value;
  }
  for (let j = 0; j < features; j++) y[j] = activation(y[j]);
  return y;
}

/**
 * A transposed convolution of stride 2, kernel [k, k, in, out], maps [channels, height, width]: input pixel i adds
 * kernel[a] to output pixel 2 i + a - padding, along each axis.
 */
function up(x, shape, kernel, bias, { size, padding }, activation) {
  const [, height, width] = shape;
  const [window, , channels, features] = kernel.shape;
  const [rows, columns] = size;
  const y = new Float32Array(features * rows * columns);
  for (let f = 0; f < features; f++) y.fill(bias.values[f], f * rows * columns, (f + 1) * rows * columns);
  for (let c = 0; c < channels; c++) {
    for (let i = 0; i < height; i++) {
      for (let j = 0; j < width; j++) {
        const value = x[(c * height + i) * width + j];
        if (value === 0) continue;
        for (let a = 0; a < window; a++) {
          const row = 2 * i + a - padding[0];
          if (row < 0 || row >= rows) continue;
          for (let b = 0; b < window; b++) {
            const column = 2 * j + b - padding[1];
            if (column < 0 || column >= columns) continue;
            const weights = ((a * window + b) * channels + c) * features;
            for (let f = 0; f < features; f++) y[(f * rows + row) * columns + column] += kernel.values[weights + f] * value;
          }
        }
      }
    }
  }
  for (let n = 0; n < y.length; n++) y[n] = activation(y[n]);
  return y;
}

/** [channels, height, width] -> [height, width, channels]. */
function channelsLast(x, [channels, height, width]) {
  const y = new Float32Array(x.length);
  const pixels = height * width;
  for (let p = 0; p < pixels; p++) for (let c = 0; c < channels; c++) y[p * channels + c] = x[c * pixels + p];
  return y;
}

/** A decoder from the bytes of its file: `decode(code)` gives the image's numbers, [height, width, channels]. */
class Decoder {
  constructor(buffer) {
    const { tensors, metadata } = readSafetensors(buffer);
    Object.assign(this, JSON.parse(metadata.decoder)); // image, latent, layers
    this.tensors = tensors;
  }

  decode(code) {
    let x = Float32Array.from(code);
    let shape = null;
    for (const layer of this.layers) {
      const kernel = this.tensors[`${layer.name}.kernel`];
      const bias = this.tensors[`${layer.name}.bias`];
      const activation = ACTIVATIONS[layer.activation];
      if (layer.kind === "dense") x = dense(x, kernel, bias, activation);
      else if (layer.kind === "maps") shape = layer.shape;
      else if (layer.kind === "up") {
        x = up(x, shape, kernel, bias, layer, activation);
        shape = [bias.shape[0], ...layer.size];
      } else x = channelsLast(x, shape);
    }
    return x;
  }
}

if (typeof module !== "undefined") module.exports = { Decoder, readSafetensors };
