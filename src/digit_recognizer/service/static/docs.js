// Shows openapi.json: each operation with its parameters, example bodies and answers.

const SERVICE = new URL("..", import.meta.url).href.slice(0, -1); // this file is in its folder "static"
const MAX_EXAMPLE = 1200; // characters

function element(name, content = [], attributes = {}) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...[content].flat());
  return made;
}

function block(value) {
  const text = JSON.stringify(value);
  const shown = text.length > MAX_EXAMPLE ? `${text.slice(0, MAX_EXAMPLE)}…` : JSON.stringify(value, null, 2);
  return element("pre", shown, { tabindex: "0" });
}

function table(headings, rows) {
  const line = (cells, name) => element("tr", cells.map((cell) => element(name, cell)));
  return element("table", [line(headings, "th"), ...rows.map((row) => line(row, "td"))]);
}

function curl(path, method, body) {
  const kinds = Object.keys(body?.content ?? {});
  const parts = ["curl"];
  if (method !== "get" && !body) parts.push(`-X ${method.toUpperCase()}`);
  if (kinds.some((kind) => kind.startsWith("image/"))) parts.push("--data-binary @picture.png");
  else if (kinds.length) parts.push(`-H 'Content-Type: ${kinds[0]}' -d @request.json`);
  return element("pre", [...parts, `'${SERVICE}${path}'`].join(" "), { tabindex: "0" });
}

function bodies(body) {
  return Object.entries(body?.content ?? {}).flatMap(([kind, form]) => [
    element("p", element("code", kind)),
    ...(form.example === undefined ? [] : [block(form.example)]),
  ]);
}

function answers(responses) {
  const example = (answer) => answer.content?.["application/json"]?.example;
  return table(
    ["Status", "Meaning"],
    Object.entries(responses).map(([status, answer]) => [
      status,
      [answer.description, ...(example(answer) === undefined ? [] : [block(example(answer))])],
    ]),
  );
}

function operation(path, method, what) {
  const heading = element("summary", [
    element("span", method.toUpperCase(), { class: "method" }),
    element("span", path, { class: "path" }),
    ` ${what.description ?? ""}`,
  ]);
  const parts = [curl(path, method, what.requestBody)];
  if (what.parameters?.length) {
    const rows = what.parameters.map((each) => [each.name, each.in, each.description ?? ""]);
    parts.push(element("h2", "Parameters"), table(["Name", "In", "Meaning"], rows));
  }
  if (what.requestBody) parts.push(element("h2", "Request body"), ...bodies(what.requestBody));
  parts.push(element("h2", "Answers"), answers(what.responses));
  return element("details", [heading, element("div", parts)]);
}

async function show() {
  const state = document.getElementById("state");
  try {
    const description = await (await fetch(`${SERVICE}/openapi.json`)).json();
    const operations = Object.entries(description.paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, what]) => operation(path, method, what)),
    );
    document.getElementById("operations").replaceChildren(...operations);
    state.textContent = `${description.info.title} ${description.info.version}: ${operations.length} operations`;
  } catch {
    state.textContent = "Cannot load openapi.json. Is the service still running?";
  }
}

show();
