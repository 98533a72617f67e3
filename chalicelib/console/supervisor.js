// What only supervisors need. The browser loads it after a supervisor has signed in.

import { createDialog } from "./view_create.js";
import { OverviewPage } from "./view_overview.js";

/** The page of each section that only supervisors see, and the dialog that creates a Task. */
export const SUPERVISOR_PAGES = { overview: OverviewPage, createDialog };
