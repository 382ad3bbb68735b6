(() => {
  const video = document.getElementById("video"), data = document.querySelector("main").dataset;
  const left = Number(data.left), width = Number(data.width), times = JSON.parse(data.times);
  const charts = document.querySelectorAll("svg[data-frames]");
  const show = frame => charts.forEach(svg => {
    const x = left + (width - left) * frame / Math.max(svg.dataset.frames - 1, 1), line = svg.querySelector(".cursor");
    line.setAttribute("x1", x); line.setAttribute("x2", x);
  });
  const at = seconds => { let frame = 0; while (frame + 1 < times.length && times[frame + 1] <= seconds + 1e-4) frame++; return frame; };
  charts.forEach(svg => svg.addEventListener("click", event => {
    const box = svg.getBoundingClientRect(), share = ((event.clientX - box.left) / box.width * width - left) / (width - left);
    const frame = Math.round(Math.min(Math.max(share, 0), 1) * (svg.dataset.frames - 1));
    show(frame); if (video) video.currentTime = times[frame] + 1e-3;
  }));
  if (video) video.addEventListener("timeupdate", () => show(at(video.currentTime)));
})();
