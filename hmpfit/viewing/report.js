(() => {
  const page = document.querySelector("main").dataset, left = Number(page.left), width = Number(page.width);
  const charts = [...document.querySelectorAll("svg[data-frames]")].map(svg => ({ svg, first: Number(svg.dataset.first), frames: Number(svg.dataset.frames) }));
  const films = [...document.querySelectorAll("video")].map(video => ({ video, first: Number(video.dataset.first), times: JSON.parse(video.dataset.times) }));
  const within = (value, low, high) => Math.min(Math.max(value, low), high);
  let now = Number(page.first), leader = films[0];

  // Everything is told in frames of the source.
  const show = frame => {
    now = frame;
    for (const { svg, first, frames } of charts) {
      const x = left + (width - left) * within(frame - first, 0, frames - 1) / Math.max(frames - 1, 1), line = svg.querySelector(".cursor");
      line.setAttribute("x1", x); line.setAttribute("x2", x);
      svg.setAttribute("aria-valuenow", frame); svg.setAttribute("aria-valuetext", "frame " + frame);
    }
    const told = document.getElementById("frame");
    if (told) told.textContent = "frame " + frame;
  };
  const at = (film, seconds) => {
    let low = 0, high = film.times.length - 1;
    while (low < high) { const middle = (low + high + 1) >> 1; if (film.times[middle] <= seconds + 1e-3) low = middle; else high = middle - 1; }
    return film.first + low;
  };
  const place = (film, frame) => {
    const own = within(frame - film.first, 0, film.times.length - 1), next = film.times[own + 1];
    film.video.currentTime = next === undefined ? film.times[own] + 1e-3 : (film.times[own] + next) / 2;
  };
  const jump = frame => { films.forEach(film => place(film, frame)); show(frame); };

  for (const { svg, first, frames } of charts) {
    svg.addEventListener("click", event => {
      const box = svg.getBoundingClientRect(), share = ((event.clientX - box.left) / box.width * width - left) / (width - left);
      jump(first + Math.round(within(share, 0, 1) * (frames - 1)));
    });
    svg.addEventListener("keydown", event => {
      const steps = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -10, PageUp: 10, Home: -Infinity, End: Infinity };
      if (event.key === " " && leader) { if (leader.video.paused) leader.video.play(); else leader.video.pause(); }
      else if (event.key in steps) jump(within(now + steps[event.key], first, first + frames - 1));
      else return;
      event.preventDefault();
    });
  }
  for (const button of document.querySelectorAll("button[data-frame]")) button.addEventListener("click", () => {
    films.forEach(film => film.video.pause());
    jump(Number(button.dataset.frame));
    if (films[0]) films[0].video.scrollIntoView({ block: "nearest" });
  });

  // One video leads, the others follow it; the cursor follows the frames that are really shown.
  for (const film of films) {
    const follow = seconds => {
      if (film !== leader || film.video.seeking) return;  // a frame that was left already
      const frame = at(film, seconds);
      show(frame);
      for (const other of films) if (other !== film && Math.abs(at(other, other.video.currentTime) - frame) > 3) place(other, frame);
    };
    if (film.video.requestVideoFrameCallback) {
      const each = (_, told) => { follow(told.mediaTime); film.video.requestVideoFrameCallback(each); };
      film.video.requestVideoFrameCallback(each);
    } else film.video.addEventListener("timeupdate", () => follow(film.video.currentTime));
    film.video.addEventListener("play", () => {
      if (film !== leader && !leader.video.paused) return;
      leader = film;
      for (const other of films) if (other !== film) { place(other, now); other.video.play(); }
    });
    film.video.addEventListener("pause", () => { if (film === leader) for (const other of films) other.video.pause(); });
  }
})();
