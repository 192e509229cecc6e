"use strict";
(() => {
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const boxes = [...document.querySelectorAll("[data-figure]")];
  const touch = matchMedia("(pointer: coarse)").matches;
  const config = {
    responsive: true,
    displaylogo: false,
    displayModeBar: touch ? false : "hover",
    modeBarButtonsToRemove: ["lasso2d", "select2d", "autoScale2d"],
    toImageButtonOptions: { format: "svg" },
  };
  const base = {
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif", size: 12 },
    hoverlabel: { bgcolor: "#262b32", bordercolor: "#262b32", font: { color: "#fff" }, align: "left" },
    dragmode: touch ? false : "zoom", // a finger scrolls the page
    autosize: true,
  };
  const draw = (box) => {
    const { data, layout } = figures[box.dataset.figure];
    return Plotly.newPlot(box, data, { ...base, ...layout }, config);
  };
  // One after the other, so that the page answers while they are drawn.
  const next = async (place) => {
    if (place === boxes.length) {
      document.documentElement.dataset.drawn = String(boxes.length);
      return;
    }
    await draw(boxes[place]);
    setTimeout(() => next(place + 1));
  };
  next(0);
  // Paper is narrower than most windows.
  const resize = (widths) =>
    boxes.forEach((box, place) => {
      if (box._fullLayout) Plotly.relayout(box, widths(box, place));
    });
  addEventListener("beforeprint", () => {
    resize((box) => ({ width: box.closest(".facets") ? 320 : 660, autosize: false }));
  });
  addEventListener("afterprint", () => resize(() => ({ width: null, autosize: true })));
})();
