"use strict";
// Everything from a workload goes through textContent or a data attribute: nothing here writes markup.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const PAGE = 60; // rows that are made at once
  const HITS = 200; // files that a search lists

  const make = (tag, attributes = {}, ...children) => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name === "text") element.textContent = value;
      else if (name === "on") for (const [event, run] of Object.entries(value)) element.addEventListener(event, run);
      else if (value === true) element.setAttribute(name, "");
      else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
    }
    element.append(...children.filter((c) => c !== null && c !== undefined));
    return element;
  };
  const many = (n, thing, things) => `${n.toLocaleString("en")} ${n === 1 ? thing : things || thing + "s"}`;
  const later = (run) => { let timer; return () => { clearTimeout(timer); timer = setTimeout(run, 80); }; };

  // -- rules ---------------------------------------------------------------------------------------------------------

  const SHAPES = {
    slot: "a name with a varying part", names: "names of one form keep coming", directory: "new names keep coming in this folder",
    tree: "new names keep coming below this folder", complete: "a folder of which every file is read", limits: "wider than needed: the target cannot hold more rules",
    decided: "people decided it", closed: "watched and never used", seen: "exactly what was seen",
  };
  const tone = (weight) => (weight >= 60 ? "bad" : weight >= 10 ? "look" : "");

  function evidence(rule, units) {
    const list = make("dl");
    const say = (name, ...content) => list.append(make("dt", { text: name }), make("dd", {}, ...content));
    if (rule.attention.length) {
      say("look", ...rule.attention.map((c) => make("div", { text: c.text })));
    }
    if (rule.why) say("shape", (SHAPES[rule.why] || rule.why) + (rule.note ? ` (${rule.note})` : ""));
    else if (rule.note) say("note", rule.note);
    if (rule.count) {
      say("seen", `${many(rule.behaviours, "distinct access", "distinct accesses")}, ${many(rule.count, "event")}`);
      const strip = make("div", { class: "strip", role: "img", "aria-label": `${rule.units.length} of ${units.length} units` });
      const used = new Set(rule.units);
      units.slice(0, 120).forEach((name, n) => strip.append(make("i", { class: used.has(n) ? "on" : "", title: name })));
      say("units", `${rule.units.length} of ${units.length}`, strip);
      say("phases", rule.phases.join(", "));
      say("executables", ...rule.executables.map((e) => make("div", { class: "mono", text: e })));
      say("between", `${rule.first.slice(0, 19).replace("T", " ")} and ${rule.last.slice(0, 19).replace("T", " ")} UTC`);
    } else {
      say("seen", "nothing in this recording uses it");
    }
    if (rule.from.length) say("only from", ...rule.from.map((f) => make("div", { class: "mono", text: f })));
    if (rule.section === "file" && rule.match !== "path") {
      const a = rule.admits;
      say("also admits", a.known ? many(a.existing, "existing file") : "not known: no inventory",
        ...a.examples.map((e) => make("div", { class: "mono", text: e })));
      if (a.sensitive.length) say("sensitive", ...a.sensitive.map((e) => make("div", { class: "mono", text: e })));
    }
    if (rule.accesses.length) {
      say("accesses", ...rule.accesses.map((s) => make("div", {},
        make("span", { class: "mono", text: s.what }),
        make("span", { class: "quiet", text: ` by ${s.by}, ${s.count.toLocaleString("en")} ×, ${many(s.units, "unit")}, ${s.phases.join(", ")}` }))),
        rule.more_accesses ? make("div", { class: "quiet", text: `and ${rule.more_accesses.toLocaleString("en")} more` }) : null);
    }
    say("place", make("span", { class: "mono", text: rule.where }));
    return list;
  }

  function ruleRow(rule, units, id) {
    const body = make("div", { class: "evidence", id, hidden: true });
    const chips = rule.attention.slice(0, 3).map((c) => make("span", { class: `chip ${tone(c.weight)}`, text: c.text }));
    if (rule.why && rule.why !== "seen") chips.unshift(make("span", { class: "chip", text: SHAPES[rule.why] || rule.why }));
    const flags = [rule.recursive && "recursive", rule.read_only && "read only", rule.owner_only && "owner only"].filter(Boolean);
    const button = make("button", { type: "button", "aria-expanded": "false", "aria-controls": id },
      make("span", { class: "class quiet", text: (rule.action === "Allow" ? "" : rule.action + " ") + rule.section }),
      make("span", { class: "what" }, make("span", { class: "mono", text: rule.value }),
        flags.length ? make("span", { class: "quiet flags", text: ` ${flags.join(", ")}` }) : null,
        rule.from.length ? make("span", { class: "quiet from" }, " from ", make("span", { class: "mono", text: rule.from.join(", ") })) : null),
      make("span", { class: "units num", text: `${rule.units.length}/${units.length} units` }),
      make("span", { class: "events num", text: `${rule.count.toLocaleString("en")} ×` }),
      chips.length ? make("span", { class: "tags" }, ...chips) : null);
    const open = (yes) => {
      if (yes && !body.childElementCount) body.append(evidence(rule, units));
      body.hidden = !yes;
      button.setAttribute("aria-expanded", String(yes));
    };
    button.addEventListener("click", () => open(body.hidden));
    const row = make("div", { class: "rule", "data-where": rule.where }, button, body);
    row.openRule = open;
    return row;
  }

  function closedRow(group, mine, id) { // many classes closed for one reason are one line
    const body = make("div", { class: "evidence", id, hidden: true },
      make("p", { class: "quiet", text: mine.rules[group[0]].note || "watched and never used" }),
      make("p", { class: "mono", text: group.map((n) => mine.rules[n].value).join(", ") }));
    const button = make("button", { type: "button", "aria-expanded": "false", "aria-controls": id, on: { click: () => {
      body.hidden = !body.hidden;
      button.setAttribute("aria-expanded", String(!body.hidden));
    } } },
    make("span", { class: "class quiet", text: mine.rules[group[0]].section }),
    make("span", { class: "what", text: `${group.length} blocked, to close what was watched and never used` }),
    make("span", { class: "units num" }), make("span", { class: "events num" }));
    return make("div", { class: "rule" }, button, body);
  }

  function grouped(found, mine) { // numbers of rules; consecutive closed ones of a class as a list
    const out = [];
    for (const n of found) {
      const last = out[out.length - 1];
      const isClosed = mine.rules[n].why === "closed" && mine.rules[n].action === "Block";
      if (isClosed && Array.isArray(last) && mine.rules[last[0]].section === mine.rules[n].section) last.push(n);
      else out.push(isClosed ? [n] : n);
    }
    return out;
  }

  function rules(article, mine, number) {
    const place = article.querySelector("[data-rules]");
    const more = article.querySelector("[data-more]");
    const count = article.querySelector("[data-count]");
    const input = Object.fromEntries([...article.querySelectorAll("[data-filter]")].map((e) => [e.dataset.filter, e]));
    const haystack = mine.rules.map((r) => [r.words, r.where, r.why, r.note, ...r.executables, ...r.units.map((u) => mine.units[u]),
      ...r.attention.map((c) => c.text), ...r.accesses.map((a) => a.what)].join("\n").toLowerCase());
    let items = [], shown = 0;
    const extend = (most) => {
      const next = items.slice(shown, shown + most);
      place.append(...next.map((n) => (Array.isArray(n) && n.length > 1
        ? closedRow(n, mine, `closed-${number}-${n[0]}`)
        : ruleRow(mine.rules[[n].flat()[0]], mine.units, `evidence-${number}-${n}`))));
      shown += next.length;
      more.hidden = shown >= items.length;
      more.textContent = `Show ${Math.min(PAGE, items.length - shown)} more`;
    };
    const apply = () => {
      const words = input.text.value.toLowerCase().split(/\s+/).filter(Boolean);
      const kind = input.kind.value;
      const found = mine.rules.map((_, n) => n).filter((n) => words.every((w) => haystack[n].includes(w))
        && (!input.section.value || mine.rules[n].section === input.section.value)
        && (!kind || (kind === "*" ? mine.rules[n].attention.length : mine.rules[n].attention.some((c) => c.kind === kind))));
      items = grouped(found, mine);
      place.replaceChildren();
      shown = 0;
      extend(PAGE);
      if (!items.length) place.append(make("p", { class: "quiet", text: "No rule fits." }));
      count.textContent = found.length === mine.rules.length ? many(found.length, "rule") : `${found.length} of ${many(mine.rules.length, "rule")}`;
    };
    const show = (where) => {
      for (const e of Object.values(input)) e.value = "";
      apply();
      const find = () => [...place.children].find((r) => r.dataset.where === where);
      while (shown < items.length && !find()) extend(PAGE);
      const row = find();
      if (!row) return;
      row.openRule(true);
      row.scrollIntoView({ block: "center" });
      row.querySelector("button").focus({ preventScroll: true });
    };
    for (const e of Object.values(input)) e.addEventListener("input", later(apply));
    more.addEventListener("click", () => extend(PAGE));
    for (const link of article.querySelectorAll("a[data-rule]")) {
      link.addEventListener("click", (event) => { event.preventDefault(); show(link.dataset.rule); });
    }
    apply();
    return show;
  }

  // -- files ---------------------------------------------------------------------------------------------------------

  const MARKS = ["observed", "generalised", "unseen", "denied", "open"];

  function line(node, name, mine, show) {
    const parts = [];
    if (node.m) parts.push(make("i", { class: `dot ${node.m}`, title: node.m }), make("span", { class: "mono", text: name }));
    else parts.push(make("span", { class: "mono", text: `${name}/` }));
    if (node.s) parts.push(make("span", { class: "chip bad", text: "sensitive" }));
    const said = [];
    if (node.t) for (const m of [...MARKS, "sensitive"]) if (node.t[m]) said.push(`${node.t[m].toLocaleString("en")} ${m}`);
    if (node.r) said.push(`read ${node.r.toLocaleString("en")} ×`);
    if (node.w) said.push(`changed ${node.w.toLocaleString("en")} ×`);
    if (node.x) said.push(`executed ${node.x.toLocaleString("en")} ×`);
    if (node.u) said.push(many(node.u, "unit"));
    if (node.m && node.m !== "observed" && !node.g) said.unshift(node.m);
    parts.push(make("span", { class: "quiet", text: said.join(", ") }));
    if (node.p !== undefined) {
      parts.push(make("a", { href: "#", class: "rule-link", text: "rule", "aria-label": `the rule for ${name}`,
        on: { click: (event) => { event.preventDefault(); show(mine.rules[node.p].where); } } }));
    }
    return parts;
  }

  function branch(node, name, mine, show) {
    if (!node.c) return make("div", { class: "leaf" }, ...line(node, name, mine, show));
    const inside = make("div", { class: "inside" });
    const details = make("details", { on: { toggle: () => {
      if (!details.open || inside.childElementCount) return;
      for (const child of node.c) inside.append(branch(...folded(child), mine, show));
      if (node.more) inside.append(make("div", { class: "leaf quiet", text: `and ${node.more.toLocaleString("en")} more of this kind` }));
    } } }, make("summary", {}, ...line(node, name, mine, show)), inside);
    return details;
  }

  function folded(node) { // a folder with one folder in it is one line
    let name = node.n;
    while (!node.m && node.c && node.c.length === 1 && node.c[0].c && !node.c[0].m) { node = node.c[0]; name += `/${node.n}`; }
    return [node, name];
  }

  function files(article, mine, show) {
    const place = article.querySelector("[data-tree]");
    const count = article.querySelector("[data-files-count]");
    const input = Object.fromEntries([...article.querySelectorAll("[data-files]")].map((e) => [e.dataset.files, e]));
    const flat = [];
    const visit = (node, prefix) => {
      for (const child of node.c || []) {
        const path = `${prefix}/${child.n}`;
        if (child.m) flat.push([path, child]);
        visit(child, child.g ? prefix : path);
      }
    };
    visit(mine.files, "");
    const apply = () => {
      const words = input.text.value.toLowerCase().split(/\s+/).filter(Boolean);
      const mark = input.mark.value;
      if (!words.length && !mark) {
        place.replaceChildren(...(mine.files.c || []).map((child) => branch(...folded(child), mine, show)));
        count.textContent = "";
        return;
      }
      const hits = flat.filter(([path, node]) => words.every((w) => path.toLowerCase().includes(w))
        && (!mark || (mark === "sensitive" ? node.s : node.m === mark)));
      place.replaceChildren(...hits.slice(0, HITS).map(([path, node]) => make("div", { class: "leaf" }, ...line(node, path, mine, show))));
      if (!hits.length) place.append(make("p", { class: "quiet", text: "No file fits." }));
      count.textContent = many(hits.length, "entry", "entries") + (hits.length > HITS ? `, ${HITS} shown` : "");
    };
    for (const e of Object.values(input)) e.addEventListener("input", later(apply));
    apply();
  }

  // -- pictures and theme --------------------------------------------------------------------------------------------

  const root = document.documentElement;
  const system = window.matchMedia("(prefers-color-scheme: dark)");
  const remembered = () => { try { return localStorage.getItem("discover-theme"); } catch { return null; } };
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);

  // the one colour that is too dark on a dark page, as the style sheet changes it there too
  const coloured = (spec) => (isDark() ? JSON.parse(JSON.stringify(spec).replaceAll("#0072B2", "#56B4E9")) : spec);

  function theme() {
    const of = (name) => getComputedStyle(root).getPropertyValue(name).trim();
    const [ink, soft, rule] = [of("--ink"), of("--soft"), of("--line")];
    return {
      background: "transparent", font: "system-ui, sans-serif", text: { color: ink }, title: { color: ink },
      axis: { labelColor: ink, titleColor: soft, gridColor: rule, domainColor: rule, tickColor: rule, titleFontWeight: "normal", labelLimit: 220 },
      legend: { labelColor: ink, titleColor: soft, titleFontWeight: "normal", labelLimit: 260 },
      view: { stroke: null },
    };
  }

  async function draw() {
    for (const [number, mine] of data.entries()) {
      const article = document.querySelector(`[data-workload="${number}"]`);
      for (const figure of article.querySelectorAll("[data-picture]")) {
        const spec = mine.pictures[figure.dataset.picture];
        try {
          const place = make("div");
          figure.replaceChildren(place);
          await vegaEmbed(place, coloured(spec), { actions: false, renderer: "svg", ast: true, config: theme(), tooltip: { theme: "custom" } });
        } catch (error) {
          figure.replaceChildren(make("p", { class: "quiet", text: `This picture could not be drawn: ${error.message}` }));
          console.error(error);
        }
      }
    }
    root.dataset.drawn = "yes";
  }

  if (remembered()) root.dataset.theme = remembered();
  document.getElementById("theme").addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    try { localStorage.setItem("discover-theme", root.dataset.theme); } catch { /* a page from a file may not remember */ }
    draw();
  });
  system.addEventListener("change", () => { if (!root.dataset.theme) draw(); });
  for (const [number, mine] of data.entries()) {
    const article = document.querySelector(`[data-workload="${number}"]`);
    files(article, mine, rules(article, mine, number));
  }
  // of several workloads, the sections are those of the one that is being read
  const articles = [...document.querySelectorAll("article[data-workload]")];
  if (articles.length > 1) for (const link of document.querySelectorAll("a[data-section]")) link.addEventListener("click", (event) => {
    const here = articles.filter((a) => a.getBoundingClientRect().top < window.innerHeight / 2).pop() || articles[0];
    event.preventDefault();
    window.location.hash = `${link.dataset.section}-${here.dataset.workload}`;
  });
  // a graph needs room: on a phone its table says the same
  if (window.matchMedia("(max-width: 40rem)").matches) for (const e of document.querySelectorAll("details[data-narrow]")) e.open = true;
  // paper has nothing to click: all rules, without their evidence
  window.addEventListener("beforeprint", () => { for (const b of document.querySelectorAll("button[data-more]")) while (!b.hidden) b.click(); });
  draw();
})();
