// Code that only supervisors need. The browser loads this module after a supervisor has signed in.

import { CallbacksPage } from "./view_callbacks.js";
import { createDialog } from "./view_create.js";
import { exportTools } from "./view_export.js";
import { OverviewPage } from "./view_overview.js";

/** The page of each section that only supervisors see, the dialog that creates a Task, and the export of History. */
export const SUPERVISOR_PAGES = { overview: OverviewPage, callbacks: CallbacksPage, createDialog, exportTools };
