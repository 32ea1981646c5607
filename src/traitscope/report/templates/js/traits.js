// @ts-check
// The slider for k: loadings and profiles of the first k traits.
const setUpTraits = () => {
  const slider = /** @type {HTMLInputElement | null} */ (document.getElementById("k"));
  const stored = document.getElementById("explained");
  const told = document.getElementById("k-told");
  if (!slider || !stored || !told) return;
  /** @type {string[]} */
  const explained = JSON.parse(stored.textContent || "[]");
  const show = () => {
    const k = Number(slider.value);
    for (const cell of document.querySelectorAll(".heat [data-k]")) {
      cell.classList.toggle("beyond", Number(/** @type {HTMLElement} */ (cell).dataset.k) > k);
    }
    told.textContent = `${k} ${k === 1 ? "trait" : "traits"}, ${explained[k - 1]} % of the variance`;
  };
  slider.addEventListener("input", show);
  show();
};
setUpTraits();
document.addEventListener("traitscope:part", (event) => {
  if (/** @type {HTMLElement} */ (event.target).dataset.part === "traits") setUpTraits();
});
