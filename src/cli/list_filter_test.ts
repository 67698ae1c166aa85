import assert from "node:assert/strict";
import { filterOf, hasLabel } from "./list_filter.ts";

interface Item {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
}

const TABLE = {
  name: (item: Item, value: string) => item.name.includes(value),
  label: (item: Item, value: string) => hasLabel(item.labels, value),
};

Deno.test("filters of several keys must all fit, of one key one must", () => {
  const item: Item = { name: "web", labels: { app: "shop", odd: "a=b" } };
  const fits = (...filters: string[]) => filterOf(TABLE, filters)(item);
  assert.equal(fits(), true);
  assert.equal(fits("name=we", "label=app"), true);
  assert.equal(fits("name=we", "label=app=other"), false);
  assert.equal(fits("name=no", "name=web"), true);
  assert.equal(fits("label=odd=a=b"), true);
  assert.equal(fits("label=toString"), false);
});

Deno.test("a filter that is not known names the keys there are", () => {
  const remedy = (text: string): unknown => {
    try {
      return filterOf(TABLE, [text]);
    } catch (error) {
      return (error as { details: { remedy: string } }).details.remedy;
    }
  };
  assert.equal(remedy("nmae=x"), "perhaps name is meant");
  assert.equal(remedy("name"), "give name=VALUE, label=VALUE");
  assert.equal(remedy("toString=x"), "give name=VALUE, label=VALUE");
});
