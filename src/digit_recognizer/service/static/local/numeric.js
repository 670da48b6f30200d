// Numbers as Python and NumPy compute them.

/** Round to the nearest whole number; halves to the even one, as `round` and `numpy.rint` do. */
export function rint(number) {
  const whole = Math.floor(number);
  const rest = number - whole;
  return rest < 0.5 || (rest === 0.5 && whole % 2 === 0) ? whole : whole + 1;
}

export function clip(number, lowest, highest) {
  return Math.min(Math.max(number, lowest), highest);
}

export function sum(numbers) {
  return numbers.reduce((total, each) => total + each, 0);
}

/** Return the median of at least one number: of an even count, the mean of the two in the middle. */
export function median(numbers) {
  return percentile(numbers, 50);
}

/** Return a percentile of at least one number, interpolated between the two nearest. */
export function percentile(numbers, percent) {
  const sorted = Float64Array.from(numbers).sort();
  const place = ((sorted.length - 1) * percent) / 100;
  const before = Math.floor(place);
  const after = Math.min(before + 1, sorted.length - 1);
  return sorted[before] + (sorted[after] - sorted[before]) * (place - before);
}

/** Return the place of the largest of some numbers, the first of several. */
export function argmax(numbers) {
  return numbers.reduce((best, each, place) => (each > numbers[best] ? place : best), 0);
}

/** Return the item for which a function is largest, or smallest, the first of several. */
export function maxBy(items, value) {
  return items[argmax(items.map(value))];
}

export function minBy(items, value) {
  return maxBy(items, (each) => -value(each));
}
