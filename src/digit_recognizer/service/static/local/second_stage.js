// Ask regions.onnx whether what was found is a character. In Python: recognition/second_stage.py.

import { boxOn, logOdds } from "./agreement.js";
import { regionImage } from "./region_image.js";

const WEIGHT = 0.3; // of the log-odds of what it says; the rest is that of the network that found the characters

/**
 * Return the characters of a page, each as probable as both networks say together, the most probable first;
 * `classify(images)` returns what the second says.
 */
export async function judge(page, found, classify) {
  if (!found.length) return [];
  const second = await classify(found.map((each) => regionImage(page, boxOn(each, page), each.em)));
  const judged = found.map((each, place) => {
    const mean = (1 - WEIGHT) * logOdds(each.isCharacter) + WEIGHT * logOdds(second[place]);
    return { ...each, isCharacter: 1 / (1 + Math.exp(-mean)) };
  });
  return judged.sort((one, other) => other.isCharacter - one.isCharacter);
}
