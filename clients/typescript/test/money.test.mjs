import assert from 'node:assert/strict';
import test from 'node:test';
import { addNanoUsd, formatNanoUsd, parseNanoUsd } from '../dist/index.js';

test('amounts are exact', () => {
  assert.equal(addNanoUsd('9007199254740993', 1n, '-2'), 9007199254740992n);
  assert.equal(addNanoUsd(), 0n);
  for (const [dollars, nano] of [['12.50', 12500000000n], ['0.000000001', 1n], ['-3', -3000000000n], ['9007199.254740993', 9007199254740993n]]) {
    assert.equal(parseNanoUsd(dollars), nano);
  }
  for (const bad of ['', '1.', '.5', '1.0000000001', '1e3', '$1', ' 1']) assert.throws(() => parseNanoUsd(bad), RangeError);
});

test('amounts are written for people', () => {
  const en = (amount, digits) => formatNanoUsd(amount, { locale: 'en-US', ...(digits === undefined ? {} : { digits }) });
  for (const [amount, text] of [
    ['0', '$0.00'], ['4999983050', '$5.00'], ['16950', '$0.000017'], ['1', '$0.000000001'], ['-1250000000', '-$1.25'],
    ['9007199254740993000000000', '$9,007,199,254,740,993.00'], ['9994999', '$0.0100'], ['123456789', '$0.12'],
  ]) assert.equal(en(amount), text);
  assert.equal(en('1234567', 6), '$0.001235');
  assert.equal(en('-1', 2), '$0.00');
  assert.equal(formatNanoUsd('1250000000', { locale: 'de-DE' }), '1,25\u00a0$');
});
