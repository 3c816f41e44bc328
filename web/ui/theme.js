// Before the first paint, so that nobody sees the other theme for a moment. A classic script for that reason.
(function () {
  var chosen = null;
  try { chosen = localStorage.getItem('longshore.theme'); } catch (error) { /* storage is off: the system decides */ }
  if (chosen === 'light' || chosen === 'dark') document.documentElement.dataset.theme = chosen;
})();
