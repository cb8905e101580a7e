import { describeGradients } from '#test/support/describe-gradients.ts';
import { recurrentCases } from './cases/recurrent.ts';

describeGradients('recurrent layers', recurrentCases);
