"use strict";
// The KL map: a grid of cells that follows the slider. Colours arrive with the data, so they match the still figures.
for (const figure of document.querySelectorAll(".klmap")) {
  const data = JSON.parse(figure.querySelector("script").textContent);
  const slider = figure.querySelector("input");
  const output = figure.querySelector("output");
  const size = data.names.length;
  const margin = 68, side = 300 / size, width = margin + 300 + 4;
  const element = (tag, attributes, text) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    if (text !== undefined) node.textContent = text;
    return node;
  };
  const svg = element("svg", { viewBox: `0 0 ${width} 326`, "font-size": 11, "font-family": "inherit" });
  const cells = [];
  const short = (name) => name.replace("follower ", "F");
  for (let row = 0; row < size; row++) {
    const y = 4 + row * side;
    svg.append(element("text", { x: margin - 6, y: y + side / 2 + 4, "text-anchor": "end", fill: "#333" }, data.names[row]));
    svg.append(element("text", { x: margin + (row + 0.5) * side, y: 4 + 300 + 15, "text-anchor": "middle", fill: "#333" },
      short(data.names[row])));
    for (let column = 0; column < size; column++) {
      const x = margin + column * side;
      const box = element("rect", { x, y, width: side - 1, height: side - 1 });
      const label = element("text", { x: x + side / 2, y: y + side / 2 + 4, "text-anchor": "middle" });
      const title = element("title", {});
      box.append(title);
      svg.append(box);
      if (size <= 8) svg.append(label);
      cells.push({ row, column, box, label, title });
    }
  }
  figure.querySelector(".map").append(svg);
  const range = Math.log(data.high / data.low);
  const draw = () => {
    const matrix = data.kl[Number(slider.value)];
    output.textContent = data.steps[Number(slider.value)];
    for (const { row, column, box, label, title } of cells) {
      const value = matrix[row][column];
      if (row === column || value === null) {
        box.setAttribute("fill", "#efefef");
        label.textContent = row === column ? "" : "?";
        continue;
      }
      const share = Math.min(1, Math.max(0, Math.log(Math.max(value, data.low) / data.low) / range));
      box.setAttribute("fill", data.colors[Math.round(share * (data.colors.length - 1))]);
      label.setAttribute("fill", share > 0.55 ? "#000" : "#fff");
      label.textContent = value < 0.0995 ? value.toFixed(3) : value < 9.95 ? value.toFixed(2) : value.toPrecision(2);
      title.textContent = `KL(${data.names[row]} || ${data.names[column]}) = ${value} nats`;
    }
  };
  slider.addEventListener("input", draw);
  draw();
}
