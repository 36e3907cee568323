"""How far a run of experiments is: a line with the time left on a terminal, else a line a point."""
import sys

from rich import progress as rich_progress


class Progress:
    def __init__(self, total):
        self.total, self.done = total, 0
        self.bar = None
        if sys.stdout.isatty():
            r = rich_progress
            self.bar = r.Progress(r.TextColumn("{task.description}"), r.BarColumn(),
                                  r.MofNCompleteColumn(), r.TimeRemainingColumn())  # fmt: skip
            self.all = self.bar.add_task("points", total=total)

    def __enter__(self):
        print(f"exp: {self.total} points", flush=True)
        if self.bar:
            self.bar.start()
        return self

    def __exit__(self, *_):
        if self.bar:
            self.bar.stop()

    def point(self, task):
        """Called by whoever has done one, one at a time."""
        self.done += 1
        text = f"{task.name}: {task.why} (console: {task.console_path})" if task.why else task.name
        if not self.bar:
            print(f"{self.done}/{self.total} {text}", flush=True)
            return
        if task.why:
            self.bar.console.print(text)
        self.bar.update(self.all, completed=self.done, description=task.name[:48])
